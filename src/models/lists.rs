//! Arrays as lists, for a file.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// A matrix as a list of its rows.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Rows(#[serde(with = "matrix")] pub(super) Array2<f32>);

/// A vector as a list.
pub(super) mod vector {
    use ndarray::Array1;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(array: &Array1<f32>, serializer: S) -> Result<S::Ok, S::Error> {
        array.to_vec().serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Array1<f32>, D::Error> {
        Vec::deserialize(deserializer).map(Array1::from_vec)
    }
}

/// A matrix as a list of its rows; rows of different lengths are refused.
pub(super) mod matrix {
    use ndarray::Array2;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(array: &Array2<f32>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(array.rows().into_iter().map(|row| row.to_vec()))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Array2<f32>, D::Error> {
        let rows = Vec::<Vec<f32>>::deserialize(deserializer)?;
        let (n_rows, width) = (rows.len(), rows.first().map_or(0, Vec::len));
        if let Some(row) = rows.iter().find(|row| row.len() != width) {
            return Err(Error::invalid_length(row.len(), &"rows of one length"));
        }
        Array2::from_shape_vec((n_rows, width), rows.concat()).map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ragged_rows_are_refused() {
        let read = |text: &str| serde_json::from_str::<Rows>(text).map(|rows| rows.0.dim());
        assert_eq!(read("[[1, 2], [3, 4], [5, 6]]").unwrap(), (3, 2));
        assert!(read("[[1, 2], [3]]").unwrap_err().to_string().contains("rows of one length"));
    }
}
