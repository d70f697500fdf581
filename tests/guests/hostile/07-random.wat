;; Has the host make random bytes for ever, as many at once as it gets, into the same place.
(import "ripost:plugin/random@1.0.0" "bytes" (func $bytes (param i32 i32)))
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32)
  (loop $for_ever
    (global.set $free (i32.const 65536))
    (call $bytes (i32.const 65536) (i32.const 2048))
    (br $for_ever))
  unreachable)
