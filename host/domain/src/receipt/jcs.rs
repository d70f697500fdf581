//! The one way to write a JSON value (RFC 8785), as far as receipts need it: no fractions.

use serde_json::{Map, Value};

/// Numbers beyond this are not the same in every language (RFC 7493).
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// The value has a number that is not whole, or too large for every language to read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} has no canonical form here: only whole ones below 2^53 have")]
pub struct NotCanonical(serde_json::Number);

/// Sorted, without white space: what is signed.
///
/// # Errors
/// [`NotCanonical`].
pub fn canonical(value: &Value) -> Result<String, NotCanonical> {
    let mut out = String::with_capacity(1024);
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<(), NotCanonical> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => {
            let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if size.is_none_or(|size| size > INTEGER_MAX) {
                return Err(NotCanonical(number.clone()));
            }
            out.push_str(&number.to_string());
        }
        Value::String(text) => write_text(text, out),
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(value, out)?;
            }
            out.push(']');
        }
        Value::Object(fields) => write_object(fields, out)?,
    }
    Ok(())
}

fn write_object(fields: &Map<String, Value>, out: &mut String) -> Result<(), NotCanonical> {
    let mut sorted: Vec<_> = fields.iter().collect();
    // §3.2.3: by UTF-16 code units, which is neither the order of bytes nor of characters.
    sorted.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
    out.push('{');
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        write(value, out)?;
    }
    out.push('}');
    Ok(())
}

/// serde_json escapes what §3.2.2.2 wants escaped, and as it wants it; a test says so.
fn write_text(text: &str, out: &mut String) {
    out.push_str(&Value::from(text).to_string());
}
