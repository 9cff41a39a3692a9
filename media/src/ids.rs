//! Numbers that name things inside one call.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u32);

        impl $name {
            /// The number that follows.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// One side's go, counted over both sides in the order in which they were begun.
    TurnId
}
number! {
    /// One agent speech, start to end, whatever produced it.
    ReplyId
}
number! {
    /// One request to the LLM. A reply has several when tools run in between; a speculation has one that may be thrown away.
    GenerationId
}
number! {
    /// Generation number on audio: the last hop drops what belongs to a cancelled one.
    Epoch
}

/// A mark placed in the outgoing audio. Its wire form is `e<epoch>-<n>`, so that one that comes back late names its epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MarkId {
    /// The epoch of the audio before it.
    pub epoch: Epoch,
    /// Counted within the call, from 1.
    pub n: u32,
}

impl fmt::Display for MarkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}-{}", self.epoch, self.n)
    }
}

impl MarkId {
    /// Reads the wire form; `None` for a mark that is not ours.
    pub fn parse(name: &str) -> Option<Self> {
        let (epoch, n) = name.strip_prefix('e')?.split_once('-')?;
        Some(Self { epoch: Epoch(epoch.parse().ok()?), n: n.parse().ok()? })
    }
}
