;; Computes for ever.
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32)
  (loop $for_ever (br $for_ever)) unreachable)
