//! Numbers with units: doses and times.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::quotes;

/// Units that convert into one another by powers of ten: molar and mass concentrations, each with its power.
const DECIMAL: [&[(&str, i32)]; 2] = [
    &[("M", 0), ("mM", -3), ("uM", -6), ("nM", -9), ("pM", -12), ("fM", -15)],
    &[("mg/ml", -3), ("ug/ml", -6), ("ng/ml", -9), ("pg/ml", -12)],
];
/// Units of time in minutes, and their other spellings.
const TIMES: [(&str, f64, &[&str]); 3] = [
    ("min", 1.0, &["mins", "minute", "minutes"]),
    ("h", 60.0, &["hr", "hrs", "hour", "hours"]),
    ("d", 1440.0, &["day", "days"]),
];
/// Characters that part texts of conditions.
pub(super) const MARKS: [char; 4] = ['+', '@', '|', '='];

/// A number above zero with its unit, such as `10 uM` or `24 h`; the unit may be empty.
///
/// `µM`, `μM` and `uM` are one unit, and so are `ng/mL` and `ng/ml`, `hours` and `h`; other units are compared as texts.
#[derive(Debug, Clone)]
pub struct Quantity {
    value: f64,
    unit: String,
}

impl Quantity {
    /// A number with the canonical spelling of its unit.
    ///
    /// # Errors
    /// The reason, if the number is not finite or not above zero.
    pub fn new(value: f64, unit: &str) -> Result<Self, String> {
        if !value.is_finite() {
            return Err(format!("`{value}` is not finite"));
        }
        if value <= 0.0 {
            return Err(format!("`{value}` is not above zero; cells that were given nothing are the control"));
        }
        Ok(Self { value, unit: spelling(unit) })
    }

    /// Reads one, such as `10 uM`, `10uM` or `0.5`.
    ///
    /// # Errors
    /// The reason, if the text is no number, or more than one, or as [`Self::new`].
    pub fn read(text: &str) -> Result<Self, String> {
        let mut all = read(text)?.into_iter();
        match (all.next(), all.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err("it is empty".into()),
            _ => Err(format!("`{}` are two quantities", text.trim())),
        }
    }

    /// The same number in a unit, where it has none.
    pub fn or_in(self, unit: &str) -> Self {
        match self.unit.is_empty() {
            true => Self { unit: spelling(unit), ..self },
            false => self,
        }
    }

    /// The number.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The unit; empty if there is none.
    pub fn unit(&self) -> &str {
        &self.unit
    }

    /// True for the text of a unit that converts into others, in any of its spellings.
    pub fn knows_unit(unit: &str) -> bool {
        let unit = spelling(unit);
        minutes(&unit).is_some() || DECIMAL.iter().any(|units| units.iter().any(|(name, _)| *name == unit))
    }

    /// True for a unit of time.
    pub fn is_time(&self) -> bool {
        minutes(&self.unit).is_some()
    }

    /// The same quantity in another unit; nothing if that measures something else.
    pub fn to_unit(&self, unit: &str) -> Option<Self> {
        let unit = spelling(unit);
        if unit == self.unit {
            return Some(self.clone());
        }
        let value = match (minutes(&self.unit), minutes(&unit)) {
            (Some(from), Some(to)) => self.value * from / to,
            _ => DECIMAL.iter().find_map(|units| {
                let power = |unit: &str| units.iter().find(|(name, _)| *name == unit).map(|(_, power)| *power);
                times_ten_to(self.value, power(&self.unit)? - power(&unit)?)
            })?,
        };
        Some(Self { value, unit })
    }

    /// The number in the fewest digits that are read back to it.
    pub fn number(&self) -> String {
        match self.value {
            value if (1e-6..1e16).contains(&value) => value.to_string(),
            value => format!("{value:e}"),
        }
    }

    fn key(&self) -> (&str, u64) {
        // Numbers above zero are in the order of their bits.
        (&self.unit, self.value.to_bits())
    }
}

/// The text form: `10 uM`, `10` without a unit; a unit that would be misread stands in double quotes.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.number())?;
        match self.unit.as_str() {
            "" => Ok(()),
            unit if is_word(unit) => write!(f, " {unit}"),
            unit => write!(f, " \"{}\"", unit.replace('"', "\"\"")),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for Quantity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// Reads quantities that stand side by side, such as `10 uM 24 h`, `10uM` or `0.5`.
///
/// # Errors
/// The reason, if a word is no number where one must stand, or as [`Quantity::new`].
pub(super) fn read(text: &str) -> Result<Vec<Quantity>, String> {
    let spaced: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    let words: Vec<&str> = quotes::split(&spaced, ' ')?.into_iter().filter(|word| !word.is_empty()).collect();
    let mut quantities = Vec::new();
    let mut place = 0;
    while place < words.len() {
        let word = words[place];
        place += 1;
        let (value, rest) = leading_number(word).ok_or_else(|| format!("`{word}` is no number"))?;
        let unit = match (rest, words.get(place)) {
            ("", Some(next)) if leading_number(next).is_none() => {
                place += 1;
                next
            }
            (rest, _) => rest,
        };
        let unit = if unit.contains('"') { quotes::unquote(unit)? } else { checked(unit)?.to_owned() };
        quantities.push(Quantity::new(value, &unit)?);
    }
    Ok(quantities)
}

fn checked(unit: &str) -> Result<&str, String> {
    match unit.is_empty() || is_word(unit) {
        true => Ok(unit),
        false => Err(format!("`{unit}` is no unit; numbers are written as 1.5 or 1e-9, odd units in double quotes")),
    }
}

/// True for a unit that needs no quotes.
fn is_word(unit: &str) -> bool {
    let begins = unit.chars().next().is_some_and(|c| c.is_alphabetic() || c == '%' || c == 'µ');
    begins
        && leading_number(unit).is_none()
        && !unit.contains(|c: char| c.is_whitespace() || c == '"' || MARKS.contains(&c))
}

/// The longest number at the beginning of a word, and what follows it.
fn leading_number(word: &str) -> Option<(f64, &str)> {
    if let Ok(value) = word.parse::<f64>() {
        return Some((value, ""));
    }
    let end = word.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(word.len());
    (1..=end).rev().find_map(|end| Some((word[..end].parse::<f64>().ok()?, &word[end..])))
}

/// value · 10^power, rounded once.
fn times_ten_to(value: f64, power: i32) -> Option<f64> {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e')?;
    format!("{digits}e{}", exponent.parse::<i32>().ok()? + power).parse().ok()
}

fn minutes(unit: &str) -> Option<f64> {
    TIMES.iter().find(|(name, ..)| *name == unit).map(|(_, minutes, _)| *minutes)
}

fn spelling(unit: &str) -> String {
    let unit = unit.trim();
    let latin = match unit.strip_prefix(['µ', 'μ']) {
        Some(rest) => format!("u{rest}"),
        None => unit.to_owned(),
    };
    if let Some((name, ..)) = TIMES.iter().find(|(_, _, others)| others.contains(&latin.as_str())) {
        return (*name).to_owned();
    }
    match latin.strip_suffix("/mL") {
        Some(mass) => format!("{mass}/ml"),
        None => latin,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Quantity {
        read(text).unwrap().remove(0)
    }

    #[test]
    fn one_unit_may_be_spelled_in_many_ways() {
        for (text, expected) in [
            ("10 µM", "10 uM"),
            ("10 μM", "10 uM"),
            ("10uM", "10 uM"),
            ("1e1 uM", "10 uM"),
            ("5 ng/mL", "5 ng/ml"),
            ("0.10 µg/mL", "0.1 ug/ml"),
            ("24 hours", "24 h"),
            ("2 days", "2 d"),
            ("7", "7"),
            ("1e-9 M", "1e-9 M"),
            ("3 \"mg per kg\"", "3 \"mg per kg\""),
            ("2 %", "2 %"),
        ] {
            assert_eq!(one(text).to_string(), expected);
            assert_eq!(one(expected), one(text));
        }
    }

    #[test]
    fn conversion_is_exact_in_decimals() {
        for (text, unit, expected) in [
            ("100 nM", "uM", "0.1 uM"),
            ("3 nM", "uM", "0.003 uM"),
            ("0.07 uM", "nM", "70 nM"),
            ("1 M", "nM", "1000000000 nM"),
            ("5 ug/ml", "ng/mL", "5000 ng/ml"),
            ("2 d", "h", "48 h"),
            ("90 min", "h", "1.5 h"),
            ("4 units", "units", "4 units"),
        ] {
            assert_eq!(one(text).to_unit(unit).unwrap().to_string(), expected);
        }
        assert!(
            ["µM", "hours", "ng/mL"].iter().all(|unit| Quantity::knows_unit(unit)) && !Quantity::knows_unit("dose")
        );
        for (text, unit) in [("1 uM", "ng/ml"), ("1 uM", ""), ("1 h", "uM"), ("1 units", "uM"), ("1", "uM")] {
            assert_eq!(one(text).to_unit(unit), None);
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        for (text, part) in [
            ("ten uM", "no number"),
            ("uM", "no number"),
            ("-1 uM", "above zero"),
            ("0 uM", "above zero"),
            ("nan", "not finite"),
            ("inf uM", "not finite"),
            ("1e999", "not finite"),
            ("1,5 uM", "no unit"),
            ("10,000 nM", "no unit"),
            ("10 \"uM", "left open"),
        ] {
            let reason = read(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn quantities_are_in_the_order_of_their_numbers() {
        let mut sorted = ["10 uM", "9 uM", "1e-3 uM", "100 uM"].map(one);
        sorted.sort();
        assert_eq!(sorted.map(|quantity| quantity.number()), ["0.001", "9", "10", "100"]);
    }
}
