;; Takes all the memory there is, in large steps, touches it, and gives up.
(global $at (mut i32) (i32.const 0))
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32)
  (loop $more
    (global.set $at (i32.shl (memory.size) (i32.const 16)))
    (if (i32.ne (memory.grow (i32.const 16)) (i32.const -1))
      (then (memory.fill (global.get $at) (i32.const 255) (i32.const 1048576)) (br $more))))
  unreachable)
