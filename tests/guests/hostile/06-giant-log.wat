;; Claims to log 256 MiB.
(import "ripost:plugin/log@1.0.0" "write" (func $write (param i32 i32 i32 i32 i32)))
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32)
  (call $write (i32.const 4) (i32.const 0) (i32.const 268435456) (i32.const 0) (i32.const 0)) unreachable)
