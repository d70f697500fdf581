;; Calls the host for ever.
(import "ripost:plugin/clock@1.0.0" "now-ms" (func $now (result i64)))
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32)
  (loop $for_ever (drop (call $now)) (br $for_ever)) unreachable)
