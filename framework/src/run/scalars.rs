//! Numbers over time: `scalars.csv`, one row for each observation. Kept by rank 0 alone.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// A table that grows by rows; a column begins with the first row that has it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Scalars {
    names: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    step: u64,
    time: f64,
    values: Vec<Option<f64>>,
}

impl Scalars {
    /// The value of `name` at this step; a second one replaces the first.
    pub fn set(&mut self, step: u64, time: f64, name: &str, value: f64) -> Result<()> {
        if name.is_empty() || name.contains(['"', ',', '\n', '\r']) {
            return Err(Error::usage(format!("the scalar {name:?} cannot be a column"))
                .help("give it a name without commas, quotes and line ends"));
        }
        let column = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_string());
            self.names.len() - 1
        });
        if self.rows.last().is_none_or(|row| row.step != step) {
            self.rows.push(Row { step, time, values: Vec::new() });
        }
        if let Some(row) = self.rows.last_mut() {
            row.values.resize(row.values.len().max(column + 1), None);
            row.values[column] = Some(value);
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As comma-separated values; every number reads back as the same bits.
    pub fn text(&self) -> String {
        let mut text = format!("step,time,{}\n", self.names.join(","));
        for row in &self.rows {
            // Writing to a String cannot fail.
            let _ = write!(text, "{},{:?}", row.step, row.time);
            for column in 0..self.names.len() {
                let value = row.values.get(column).copied().flatten();
                text.push(',');
                if let Some(value) = value {
                    let _ = write!(text, "{value:?}");
                }
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_may_come_late() {
        let mut scalars = Scalars::default();
        assert!(scalars.is_empty());
        scalars.set(0, 0.0, "sum", 1.0).unwrap();
        scalars.set(5, 0.25, "sum", 2.5).unwrap();
        scalars.set(5, 0.25, "max", 0.1).unwrap();
        scalars.set(5, 0.25, "sum", 3.0).unwrap();
        assert_eq!(scalars.text(), "step,time,sum,max\n0,0.0,1.0,\n5,0.25,3.0,0.1\n");
        assert!(scalars.set(6, 0.3, "a,b", 1.0).is_err());
    }
}
