//! What an architecture's keys in a file's head may say.

use crate::gguf::{Gguf, GgufError, Value};

pub(super) fn unsupported(what: impl Into<String>) -> GgufError {
    GgufError::Unsupported(what.into())
}

/// The keys of one architecture.
pub(super) struct Keys<'a> {
    pub gguf: &'a Gguf,
    pub prefix: &'static str,
}

impl Keys<'_> {
    pub fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    pub fn int(&self, name: &str, max: u32) -> Result<Option<usize>, GgufError> {
        let found = self.gguf.int(&self.key(name), 1, max)?;
        Ok(found.map(|n| n as usize))
    }

    pub fn count(&self, name: &str, max: u32) -> Result<usize, GgufError> {
        self.gguf
            .require_int(&self.key(name), 1, max)
            .map(|n| n as usize)
    }

    /// A float; 0 is as if it weren't there.
    fn float(&self, name: &str) -> Result<Option<f64>, GgufError> {
        Ok(self.gguf.float(&self.key(name))?.filter(|x| *x != 0.0))
    }

    /// A float above 0 that has this value where it isn't there.
    pub fn positive(&self, name: &str, default: f64) -> Result<f64, GgufError> {
        match self.float(name)? {
            None => Ok(default),
            // As f32 it must be a normal number too.
            Some(x) if (1e-30..=1e30).contains(&x) => Ok(x),
            Some(x) => Err(GgufError::OutOfRange {
                key: self.key(name),
                value: x.to_string(),
                allowed: "1e-30 to 1e30".into(),
            }),
        }
    }

    pub fn text(&self, name: &str) -> Result<Option<&str>, GgufError> {
        self.gguf.text(&self.key(name))
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, GgufError> {
        self.gguf.bool(&self.key(name))
    }

    /// Refuses a file in which this number says that something is computed which the engine doesn't.
    pub fn without(&self, name: &str, neutral: &[f64], what: &str) -> Result<(), GgufError> {
        let value = match self.gguf.get(&self.key(name)) {
            None => return Ok(()),
            Some(Value::Int(n)) => *n as f64,
            Some(Value::Float(x)) => *x,
            Some(Value::Bool(b)) => f64::from(u8::from(*b)),
            Some(_) => f64::NAN,
        };
        match neutral.contains(&value) {
            true => Ok(()),
            false => Err(unsupported(format!(
                "{what} (`{}`) is not supported",
                self.key(name)
            ))),
        }
    }
}
