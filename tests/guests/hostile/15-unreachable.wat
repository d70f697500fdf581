;; Breaks.
(func (export "ripost:plugin/handle@1.0.0#handle") (param $request i32) (result i32) unreachable)
