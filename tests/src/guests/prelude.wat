;; Layout (canonical ABI, wit/ripost.wit):
;; request: id 0, owner 8, api 16, consumer 24, attempt 32, method 36, path 44, query 52 (tag) 56, headers 64, body 72,
;;          deadline-ms 80, attributes 88; a string or list is a pointer and a length.
;; result:  tag 0; response at 4: status 4, headers 8, body 16, attributes 24;
;;          failure at 4: tag 4, problem at 8 (invalid, failed), retry at 8: after-s 8 (tag) 12, problem at 16.
;; problem: kind 0, title 8, detail 16 (tag) 20, status 28 (tag) 30, attributes 32.
(memory (export "memory") 2)
(global $free (mut i32) (i32.const 65536))
(global $headers (mut i32) (i32.const 512))
(data (i32.const 16) "content-type")
(data (i32.const 32) "application/json")
(data (i32.const 64) "text/plain")

(func $alloc (param $len i32) (result i32) (local $at i32) (local $missing i32)
  (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
  (global.set $free (i32.add (local.get $at) (local.get $len)))
  (local.set $missing (i32.sub (global.get $free) (i32.shl (memory.size) (i32.const 16))))
  (if (i32.gt_s (local.get $missing) (i32.const 0))
    (then
      (if (i32.eq (memory.grow (i32.shr_u (i32.add (local.get $missing) (i32.const 65535)) (i32.const 16))) (i32.const -1))
        (then unreachable))))
  (local.get $at))

(func (export "cabi_realloc") (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
  (local $at i32)
  (local.set $at (call $alloc (local.get $len)))
  (memory.copy (local.get $at) (local.get $old) (local.get $old_len))
  (local.get $at))

;; Adds a header to the answer; at most 31 fit between 512 and the data at 1024.
(func $header (param $name i32) (param $name_len i32) (param $value i32) (param $value_len i32)
  (i32.store (global.get $headers) (local.get $name))
  (i32.store offset=4 (global.get $headers) (local.get $name_len))
  (i32.store offset=8 (global.get $headers) (local.get $value))
  (i32.store offset=12 (global.get $headers) (local.get $value_len))
  (global.set $headers (i32.add (global.get $headers) (i32.const 16))))

(func $ok (param $status i32) (param $body i32) (param $body_len i32) (result i32) (local $result i32)
  (local.set $result (call $alloc (i32.const 64)))
  (memory.fill (local.get $result) (i32.const 0) (i32.const 64))
  (i32.store16 offset=4 (local.get $result) (local.get $status))
  (i32.store offset=8 (local.get $result) (i32.const 512))
  (i32.store offset=12 (local.get $result) (i32.shr_u (i32.sub (global.get $headers) (i32.const 512)) (i32.const 4)))
  (i32.store offset=16 (local.get $result) (local.get $body))
  (i32.store offset=20 (local.get $result) (local.get $body_len))
  (local.get $result))

(func $echo (param $request i32) (result i32)
  (call $header (i32.const 16) (i32.const 12) (i32.const 32) (i32.const 16))
  (call $ok (i32.const 200) (i32.load offset=72 (local.get $request)) (i32.load offset=76 (local.get $request))))

(func $attempt (param $request i32) (result i32) (i32.load offset=32 (local.get $request)))

(func $err (param $case i32) (param $has_after i32) (param $after i32)
  (param $kind i32) (param $kind_len i32) (param $title i32) (param $title_len i32)
  (param $detail i32) (param $detail_len i32) (param $has_status i32) (param $status i32) (result i32)
  (local $result i32) (local $problem i32)
  (local.set $result (call $alloc (i32.const 64)))
  (memory.fill (local.get $result) (i32.const 0) (i32.const 64))
  (i32.store8 (local.get $result) (i32.const 1))
  (i32.store8 offset=4 (local.get $result) (local.get $case))
  (local.set $problem (i32.add (local.get $result) (i32.const 8)))
  (if (i32.eq (local.get $case) (i32.const 1))
    (then
      (i32.store8 offset=8 (local.get $result) (local.get $has_after))
      (i32.store offset=12 (local.get $result) (local.get $after))
      (local.set $problem (i32.add (local.get $result) (i32.const 16)))))
  (i32.store (local.get $problem) (local.get $kind))
  (i32.store offset=4 (local.get $problem) (local.get $kind_len))
  (i32.store offset=8 (local.get $problem) (local.get $title))
  (i32.store offset=12 (local.get $problem) (local.get $title_len))
  (i32.store8 offset=16 (local.get $problem) (i32.const 1))
  (i32.store offset=20 (local.get $problem) (local.get $detail))
  (i32.store offset=24 (local.get $problem) (local.get $detail_len))
  (i32.store8 offset=28 (local.get $problem) (local.get $has_status))
  (i32.store16 offset=30 (local.get $problem) (local.get $status))
  (local.get $result))

;; Appends to the text that `$mirror` writes; the text ends at `$end`.
(global $end (mut i32) (i32.const 0))
(func $append (param $from i32) (param $len i32)
  (memory.copy (global.get $end) (local.get $from) (local.get $len))
  (global.set $end (i32.add (global.get $end) (local.get $len))))
(func $append_byte (param $byte i32)
  (i32.store8 (global.get $end) (local.get $byte))
  (global.set $end (i32.add (global.get $end) (i32.const 1))))

(func $mirror (param $request i32) (result i32) (local $text i32) (local $header i32) (local $left i32)
  ;; A call is at most 1 MiB and its headers far less.
  (local.set $text (call $alloc (i32.const 2097152)))
  (global.set $end (local.get $text))
  (call $append (i32.load offset=36 (local.get $request)) (i32.load offset=40 (local.get $request)))
  (call $append_byte (i32.const 32))
  (call $append (i32.load offset=44 (local.get $request)) (i32.load offset=48 (local.get $request)))
  (if (i32.load8_u offset=52 (local.get $request))
    (then
      (call $append_byte (i32.const 63))
      (call $append (i32.load offset=56 (local.get $request)) (i32.load offset=60 (local.get $request)))))
  (call $append_byte (i32.const 10))
  (local.set $header (i32.load offset=64 (local.get $request)))
  (local.set $left (i32.load offset=68 (local.get $request)))
  (block $done
    (loop $next
      (br_if $done (i32.eqz (local.get $left)))
      (call $append (i32.load (local.get $header)) (i32.load offset=4 (local.get $header)))
      (call $append_byte (i32.const 58))
      (call $append_byte (i32.const 32))
      (call $append (i32.load offset=8 (local.get $header)) (i32.load offset=12 (local.get $header)))
      (call $append_byte (i32.const 10))
      (local.set $header (i32.add (local.get $header) (i32.const 16)))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br $next)))
  (call $append_byte (i32.const 10))
  (call $append (i32.load offset=72 (local.get $request)) (i32.load offset=76 (local.get $request)))
  (call $header (i32.const 16) (i32.const 12) (i32.const 64) (i32.const 10))
  (call $ok (i32.const 200) (local.get $text) (i32.sub (global.get $end) (local.get $text))))
