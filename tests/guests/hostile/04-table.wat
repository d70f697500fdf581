;; Takes all the table elements there are.
(table $t 1 funcref)
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32)
  (loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) unreachable)
