//! Newtypes for everything that is a name, a number or a version and could be confused with another one.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is; every text is a legal value.
            #[must_use]
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Arc::from(text))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(Arc::from(text))
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{:?}", &*self.0)
            }
        }
    };
}

name_type! {
    /// Identifier under which an agent or runner polls for cluster checks (the `{identifier}` of the URL).
    NodeName
}
name_type! {
    /// Name of a Kubernetes node as the kubelet reports it; the key of endpoint checks. Not a [`NodeName`].
    KubernetesNodeName
}
name_type! {
    /// Identity of a running check instance, `<check name>[:<label>]:<hash>`.
    ///
    /// Source: cluster-checks 6.2.
    CheckId
}

macro_rules! number_type {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }
    };
}

number_type! {
    /// Number of lock changes so far; every decision carries the epoch it was made in, older epochs are dropped.
    Epoch(u64)
}
number_type! {
    /// Position of a change in the assignment log; grows by one with every delta and goes on over restarts.
    Seq(u64)
}
number_type! {
    /// A node's `last_change`: the version of its set of configs as agents see it.
    ///
    /// Units: nanoseconds since the Unix epoch at the time of the change, or one more than the highest stamp ever given out,
    /// whichever is larger; 0 = never changed. Source: cluster-checks 4.3 and 7.
    Stamp(i64)
}
number_type! {
    /// Number of workers of a runner (its capacity).
    Workers(u32)
}

/// Stock digest of a config: the first half of MurmurHash3 x64 128. Shown to people, used in check ids.
///
/// Printed, and written in JSON, as lower-case hexadecimal without leading zeros. Source: cluster-checks 6.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u64);

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:x}", self.0)
    }
}

/// Internal key of a discovered config: a hash over all its parts with separators, taken before patching.
///
/// Printed, and written in JSON, as 32 hexadecimal digits.
/// Why: the stock digest runs its parts together and so collides, and it changes with the tags that patching adds; removal
/// must not depend on patching again (spec README section 8, item 12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigKey(pub u128);

impl fmt::Display for ConfigKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

/// Text in readable formats (JSON numbers end at 53 bits), the number in binary ones.
macro_rules! hexadecimal {
    ($name:ident($inner:ty)) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    <$inner>::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
                } else {
                    <$inner>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

hexadecimal!(Digest(u64));
hexadecimal!(ConfigKey(u128));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_keys_are_text_in_json() {
        assert_eq!(serde_json::to_value(Digest(0xe33)).unwrap(), "e33");
        assert_eq!(serde_json::to_value(ConfigKey(1)).unwrap(), "00000000000000000000000000000001");
        assert_eq!(serde_json::from_str::<Digest>("\"e33\"").unwrap(), Digest(0xe33));
    }
}
