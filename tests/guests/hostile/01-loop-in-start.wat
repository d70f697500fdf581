;; Computes for ever before anybody has called it.
(func $start (loop $for_ever (br $for_ever)))
(start $start)
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32) (call $echo (local.get $request)))
