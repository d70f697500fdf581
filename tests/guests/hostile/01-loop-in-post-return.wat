;; Answers, and computes for ever when it is told that the answer was read.
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32) (call $echo (local.get $request)))
(func (export "cabi_post_ripost:plugin/handle@1.0.0#handle") (param i32) (loop $for_ever (br $for_ever)))
