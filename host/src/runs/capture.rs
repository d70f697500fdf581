//! How much of the price an answer asks to capture: the attribute `capture-usdc` of a component, or the header
//! `Ripost-Capture-Usdc` of whatever speaks HTTP. Pure.

use ripost_domain::money::{Amount, Capture, ParseAmountError};
use ripost_domain::request::{Verdict, judge};
use ripost_runtime::Response;
use ripost_store::Answer;

/// The attribute of the contract with guests.
pub(crate) const ATTRIBUTE: &str = "capture-usdc";
/// The header that says the same. Consumers never see it: it begins with `ripost-`.
pub(crate) const HEADER: &str = "ripost-capture-usdc";

/// Of a value that is shown.
const CHARS_MAX: usize = 60;

/// What an answer asks for cannot be captured. The text is for the owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotCapturable {
    /// One of them would have to be chosen.
    #[error("the amount to capture is given more than once")]
    Repeated,
    /// No amount.
    #[error("the amount to capture is {text:?}, and {why}")]
    Malformed {
        /// Its beginning.
        text: String,
        /// What is wrong with it.
        why: ParseAmountError,
    },
    /// More than is held.
    #[error("the amount to capture is {asked} USDC, and the price is {price} USDC")]
    AboveThePrice {
        /// What was asked for.
        asked: Amount,
        /// What is held.
        price: Amount,
    },
}

/// What an answer asks for. Of one that does not complete its request nothing is captured, whatever it says.
///
/// # Errors
/// It cannot be captured: the owner's failure.
pub(crate) fn asked(response: &Response, price: Amount) -> Result<Capture, NotCapturable> {
    let attributes = response.attributes.iter().filter(|(name, _)| name == ATTRIBUTE);
    let headers = response.headers.iter().filter(|(name, _)| name == HEADER);
    let values = attributes.map(|(_, value)| value.as_bytes()).chain(headers.map(|(_, value)| &value[..]));
    read(response.status, values, price)
}

/// What an answer that came over HTTP asks for.
///
/// # Errors
/// As [`asked`].
pub(crate) fn asked_over_http(answer: &Answer, price: Amount) -> Result<Capture, NotCapturable> {
    let headers = answer.headers.iter().filter(|(name, _)| name == HEADER);
    read(answer.status, headers.map(|(_, value)| &value[..]), price)
}

fn read<'a>(status: u16, mut values: impl Iterator<Item = &'a [u8]>, price: Amount) -> Result<Capture, NotCapturable> {
    if judge(status, None) != Verdict::Completed {
        return Ok(Capture::Whole);
    }
    let Some(value) = values.next() else { return Ok(Capture::Whole) };
    if values.next().is_some() {
        return Err(NotCapturable::Repeated);
    }
    let text = String::from_utf8_lossy(value);
    match text.parse::<Amount>() {
        Ok(asked) if asked > price => Err(NotCapturable::AboveThePrice { asked, price }),
        Ok(asked) => Ok(Capture::Part(asked)),
        Err(why) => Err(NotCapturable::Malformed { text: text.chars().take(CHARS_MAX).collect(), why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn micros(micros: i64) -> Amount {
        Amount::from_micros(micros).unwrap()
    }

    fn response(status: u16, attributes: &[&str], headers: &[&'static str]) -> Response {
        Response {
            status,
            headers: headers.iter().map(|value| (HEADER.to_owned(), Bytes::from_static(value.as_bytes()))).collect(),
            body: Bytes::new(),
            attributes: attributes.iter().map(|value| (ATTRIBUTE.to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[test]
    fn an_answer_may_ask_for_any_amount_up_to_the_price_as_an_attribute_or_as_a_header() {
        let price = micros(50_000);
        for (text, captured) in
            [("0", 0), ("0.000000", 0), ("0.000001", 1), ("0.02", 20_000), ("0.049999", 49_999), ("0.05", 50_000)]
        {
            let captured = Ok(Capture::Part(micros(captured)));
            assert_eq!(asked(&response(200, &[text], &[]), price), captured, "{text}");
            assert_eq!(asked(&response(303, &[], &[text]), price), captured, "{text}");
        }
        assert_eq!(asked(&response(200, &[], &[]), price), Ok(Capture::Whole));
        assert_eq!(asked(&response(200, &["0"], &[]), Amount::ZERO), Ok(Capture::Part(Amount::ZERO)));
    }

    #[test]
    fn more_than_the_price_and_what_is_no_amount_cannot_be_captured() {
        let price = micros(50_000);
        for (attributes, headers) in [
            (&["0.050001"][..], &[][..]),
            (&["9223372036854.775808"], &[]),
            (&[""], &[]),
            (&["-0.01"], &[]),
            (&["+0.01"], &[]),
            (&["0.01 USDC"], &[]),
            (&[" 0.01"], &[]),
            (&["1e-2"], &[]),
            (&["0.0000001"], &[]),
            (&["0,01"], &[]),
            (&["NaN"], &[]),
            (&["0.01", "0.01"], &[]),
            (&["0.01"], &["0.01"]),
            (&[], &["0.01", "0.02"]),
            (&[], &["\u{fffd}"]),
        ] {
            assert!(asked(&response(200, attributes, headers), price).is_err(), "{attributes:?} {headers:?}");
        }
        assert!(asked(&response(200, &["0.000001"], &[]), Amount::ZERO).is_err(), "nothing is held of a free call");
        let long = asked(&response(200, &["x\u{1b}[31m".repeat(100).as_str()], &[]), price).unwrap_err().to_string();
        assert!(long.len() < 400 && !long.contains('\u{1b}'), "{long}");
    }

    #[test]
    fn an_answer_that_does_not_complete_its_request_asks_for_nothing() {
        for status in [199, 400, 404, 422, 429, 500, 503] {
            assert_eq!(asked(&response(status, &["nonsense"], &[]), micros(1)), Ok(Capture::Whole), "{status}");
        }
    }
}
