;; world: ripost:tests/sleeper@1.0.0
;; Waits for an hour, which costs no CPU.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32)
  (call $block (call $subscribe (i64.const 3600000000000))) unreachable)
