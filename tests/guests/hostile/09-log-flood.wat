;; Logs 4 KiB for ever.
(import "ripost:plugin/log@1.0.0" "write" (func $write (param i32 i32 i32 i32 i32)))
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32)
  (memory.fill (i32.const 8192) (i32.const 120) (i32.const 4096))
  (loop $for_ever
    (call $write (i32.const 2) (i32.const 8192) (i32.const 4096) (i32.const 0) (i32.const 0))
    (br $for_ever))
  unreachable)
