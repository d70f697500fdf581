;; world: ripost:tests/exiter@1.0.0
;; Ends its process, it hopes.
(import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32) (call $exit (i32.const 1)) unreachable)
