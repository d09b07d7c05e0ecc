//! Double quotes in texts that name conditions: inside them, a separator is an ordinary character.

/// Splits at `separator` wherever it stands outside double quotes.
///
/// # Errors
/// The reason, if a quote is left open.
pub fn split(text: &str, separator: char) -> Result<Vec<&str>, String> {
    split_at(text, separator.encode_utf8(&mut [0; 4]))
}

/// The same for a separator of one character or more.
///
/// # Errors
/// As [`split`].
pub fn split_at<'a>(text: &'a str, separator: &str) -> Result<Vec<&'a str>, String> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (position, character) in text.char_indices() {
        if character == '"' {
            quoted = !quoted;
        } else if position >= start && !quoted && text[position..].starts_with(separator) {
            parts.push(&text[start..position]);
            start = position + separator.len();
        }
    }
    if quoted {
        return Err("a double quote is left open".into());
    }
    parts.push(&text[start..]);
    Ok(parts)
}

/// The name without white space around it, or what stands in double quotes, where a doubled quote means one.
///
/// # Errors
/// The reason, if a double quote stands anywhere but at both ends.
pub fn unquote(text: &str) -> Result<String, String> {
    let text = text.trim();
    let inside = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inside {
        Some(inside) if !inside.replace("\"\"", "").contains('"') => Ok(inside.replace("\"\"", "\"")),
        None if !text.contains('"') => Ok(text.to_owned()),
        _ => Err(format!(
            "a double quote stands inside `{text}`; write the whole name in quotes, its own quotes doubled"
        )),
    }
}

/// The name, in double quotes if it contains one of `marks`, a quote, or white space at an end.
pub fn quote(name: &str, marks: &[char]) -> String {
    if name.contains('"') || name.contains(marks) || name.trim() != name || name.is_empty() {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_separators_do_not_split() {
        assert_eq!(split("a | \"b|c\" |d", '|').unwrap(), ["a ", " \"b|c\" ", "d"]);
        assert!(split("a \" b", '|').is_err());
        assert_eq!(split_at("a....b..\"c..d\"", "..").unwrap(), ["a", "", "b", "\"c..d\""]);
    }

    #[test]
    fn every_name_survives_quoting() {
        for name in ["plain", "5\" dish", "a|b", " padded ", "\"", "", "say \"x\""] {
            assert_eq!(unquote(&quote(name, &['|'])).unwrap(), name);
        }
        assert_eq!(quote("plain", &['|']), "plain");
        assert!(unquote("a\"b\"").is_err());
    }
}
