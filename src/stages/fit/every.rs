//! How often something is done.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Every so many steps, or every so often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Every {
    /// After this many steps.
    Steps(usize),
    /// After this many seconds.
    Seconds(f64),
}

impl Every {
    /// True if it is time again, so long after the last time.
    pub(super) fn is_due(self, n_steps: usize, elapsed: Duration) -> bool {
        match self {
            Self::Steps(n) => n_steps >= n,
            Self::Seconds(seconds) => elapsed.as_secs_f64() >= seconds,
        }
    }
}

/// Reads `100` as steps, and `60s`, `5m` or `1h` as a time.
impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(char::is_alphabetic) {
            return seconds(text).map(Self::Seconds);
        }
        match text.trim().parse() {
            Ok(n) if n > 0 => Ok(Self::Steps(n)),
            _ => Err(format!("`{text}` is neither a number of steps above zero nor a time such as 60s")),
        }
    }
}

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Steps(n) => serializer.serialize_u64(*n as u64),
            Self::Seconds(seconds) => serializer.serialize_str(&format!("{seconds}s")),
        }
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Steps(i64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer) {
            Ok(Written::Steps(n)) => n.to_string(),
            Ok(Written::Text(text)) => text,
            Err(_) => return Err(de::Error::custom("expected a number of steps, or a time such as \"60s\"")),
        };
        text.parse().map_err(de::Error::custom)
    }
}

/// A time such as `90`, `120s`, `5m` or `1h` in seconds.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn seconds(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.find(|c: char| c.is_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time; use s, m or h")),
    };
    match number.trim().parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value * factor),
        _ => Err(format!("`{number}` is no time above zero")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(seconds("90"), Ok(90.0));
        assert_eq!(seconds("120s"), Ok(120.0));
        assert_eq!(seconds("1.5m"), Ok(90.0));
        assert!(seconds("5 days").is_err() && seconds("-3s").is_err() && seconds("").is_err());
    }

    #[test]
    fn a_number_is_of_steps_and_a_time_has_a_unit() {
        assert_eq!("100".parse(), Ok(Every::Steps(100)));
        assert_eq!("0.5m".parse(), Ok(Every::Seconds(30.0)));
        for wrong in ["0", "-1", "1.5", "", "5 parsecs", "0s"] {
            assert!(wrong.parse::<Every>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for every in [Every::Steps(7), Every::Seconds(0.05)] {
            let text = serde_json::to_string(&every).unwrap();
            assert_eq!(serde_json::from_str::<Every>(&text).unwrap(), every, "{text}");
        }
        let wrong = serde_json::from_str::<Every>("[1]").unwrap_err().to_string();
        assert!(wrong.contains("number of steps"), "{wrong}");
        assert!(serde_json::from_str::<Every>("0").is_err());
    }

    #[test]
    fn it_is_due_by_steps_or_by_time() {
        let second = Duration::from_secs(1);
        assert!(Every::Steps(3).is_due(3, Duration::ZERO) && !Every::Steps(3).is_due(2, second));
        assert!(Every::Seconds(1.0).is_due(0, second) && !Every::Seconds(2.0).is_due(9, second));
    }
}
