;; Claims to have answered with 256 MiB.
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32) (call $ok (i32.const 200) (i32.const 0) (i32.const 268435456)))
