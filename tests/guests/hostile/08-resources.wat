;; world: ripost:tests/sleeper@1.0.0
;; Makes a million timers and keeps them.
(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $subscribe (param i64) (result i32)))
(import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32) (local $n i32)
  (loop $more
    (drop (call $subscribe (i64.const 3600000000000)))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000))))
  (call $echo (local.get $request)))
