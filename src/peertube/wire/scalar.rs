//! A value of whatever kind, kept if it is small and simple and else passed over
//! without being held. What PeerTube may send as text or number is read by this.

use std::fmt;

use jiff::Timestamp;
use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::core::job::JobType;

/// Longer text is cut: no id, name or address of PeerTube's is.
const LONGEST: usize = 4096;

#[derive(Debug, Default, PartialEq)]
pub(super) enum Scalar {
    /// Null, an array or an object.
    #[default]
    Nothing,
    Flag(bool),
    Whole(i64),
    Real(f64),
    Text(String),
}

impl Scalar {
    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Whole(number) => Some(number.to_string()),
            _ => None,
        }
    }

    pub(super) fn as_flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    pub(super) fn as_whole(&self) -> Option<i64> {
        match self {
            Self::Whole(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn as_time(&self) -> Option<Timestamp> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Whole(number) => Timestamp::from_millisecond(*number).ok(),
            _ => None,
        }
    }

    pub(super) fn as_real(&self) -> Option<f64> {
        match self {
            Self::Real(number) => Some(*number),
            Self::Whole(number) => number.to_string().parse().ok(),
            _ => None,
        }
    }
}

/// What has to be text.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match Scalar::deserialize(from)? {
        Scalar::Text(text) => Ok(text),
        _ => Err(de::Error::custom("no text")),
    }
}

/// A type of jobs.
pub(super) fn job_type<'de, D: Deserializer<'de>>(from: D) -> Result<JobType, D::Error> {
    text(from).map(JobType)
}

/// An id: text today, a number on old servers.
pub(super) fn id<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Scalar::deserialize(from)?.into_text().ok_or_else(|| de::Error::custom("no id"))
}

pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    maybe_time(from)?.ok_or_else(|| de::Error::custom("no time"))
}

/// ISO 8601, or milliseconds since 1970, or null. Anything else is an error: a
/// time that can't be read must not look like one that isn't there.
pub(super) fn maybe_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    match Option::<Scalar>::deserialize(from)? {
        None => Ok(None),
        Some(scalar) => scalar.as_time().map(Some).ok_or_else(|| de::Error::custom("unreadable time")),
    }
}

/// The start of a text, at most so many bytes.
pub(super) fn start(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Scalar, E> {
        Ok(Scalar::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(number).map_or(Scalar::Nothing, Scalar::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Real(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(start(text, LONGEST).to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }
}
