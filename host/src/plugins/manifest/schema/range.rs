//! Regular expressions for whole numbers of a range, since JSON Schema cannot compare what stands in a text.

/// The numbers from `least` to `most`, with any zeros in front. No anchors.
pub(super) fn between(least: u64, most: u64) -> String {
    let mut alternatives = Vec::new();
    let mut from = least;
    while from <= most {
        // The last number that has as many digits.
        let of_this_length = 10_u64.checked_pow(digits(from)).map_or(u64::MAX, |next| next - 1);
        let to = most.min(of_this_length);
        alternatives.extend(of_one_length(from.to_string().as_bytes(), to.to_string().as_bytes()));
        match to.checked_add(1) {
            Some(next) => from = next,
            None => break,
        }
    }
    format!("0*(?:{})", alternatives.join("|"))
}

fn digits(number: u64) -> u32 {
    number.checked_ilog10().map_or(1, |log| log + 1)
}

/// Both have the same number of digits.
fn of_one_length(least: &[u8], most: &[u8]) -> Vec<String> {
    let (Some((low, low_rest)), Some((high, high_rest))) = (least.split_first(), most.split_first()) else {
        return vec![String::new()];
    };
    let with = |digit: u8, rest: Vec<String>| rest.into_iter().map(move |rest| format!("{}{rest}", char::from(digit)));
    if low == high {
        return with(*low, of_one_length(low_rest, high_rest)).collect();
    }
    let (zeros, nines) = (vec![b'0'; low_rest.len()], vec![b'9'; high_rest.len()]);
    let mut found = Vec::new();
    let (mut from, mut to) = (*low, *high);
    if low_rest != zeros {
        found.extend(with(from, of_one_length(low_rest, &nines)));
        from += 1;
    }
    let below_most = (high_rest != nines).then(|| {
        to -= 1;
        with(*high, of_one_length(&zeros, high_rest))
    });
    if from <= to {
        found.push(format!("{}{}", class(from, to), any(low_rest.len())));
    }
    found.extend(below_most.into_iter().flatten());
    found
}

fn class(from: u8, to: u8) -> String {
    let (first, last) = (char::from(from), char::from(to));
    if from == to { first.to_string() } else { format!("[{first}-{last}]") }
}

fn any(digits: usize) -> String {
    match digits {
        0 => String::new(),
        1 => "[0-9]".to_owned(),
        more => format!("[0-9]{{{more}}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::between;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn a_range_has_its_numbers_and_no_others(
            (least, most) in prop_oneof![(0_u64..300, 0_u64..3000), (any::<u64>(), any::<u64>())],
            number in prop_oneof![0_u64..4000, any::<u64>()],
            zeros in 0_usize..3,
        ) {
            let (least, most) = (least.min(most), least.max(most));
            let schema = json!({ "pattern": format!("^{}$", between(least, most)) });
            let validator = jsonschema::draft7::new(&schema).unwrap();
            for number in [number, least, most, least.saturating_sub(1), most.saturating_add(1)] {
                let text = format!("{}{number}", "0".repeat(zeros));
                prop_assert_eq!(validator.is_valid(&json!(text)), (least..=most).contains(&number), "{} in {}", text, schema);
            }
        }
    }
}
