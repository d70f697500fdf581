;; A failure whose title is not UTF-8.
(data (i32.const 1024) "\ff\fe")
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32)
  (call $err (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 2) (i32.const 1024) (i32.const 2)
    (i32.const 1024) (i32.const 2) (i32.const 0) (i32.const 0)))
