//! An address, and whose word it is.

use std::{fmt, ops::Deref};

/// Who gave an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The operator's configuration, or a vendor's default: connected to wherever it leads.
    Operator,
    /// A user, such as the `endpoint_url` of a credential: connected to by way of the guard.
    User,
}

/// Where a vendor is served. There is no conversion from a string: whoever makes one says whom it is from.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl {
    url: String,
    trust: Trust,
}

impl BaseUrl {
    /// From the operator's configuration, or the vendor's default.
    pub fn operator(url: impl Into<String>) -> Self {
        Self { url: url.into(), trust: Trust::Operator }
    }

    /// From a user.
    pub fn user(url: impl Into<String>) -> Self {
        Self { url: url.into(), trust: Trust::User }
    }

    /// Whose word it is.
    pub const fn trust(&self) -> Trust {
        self.trust
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// Another address, on the same word.
    pub(crate) fn same_trust(&self, url: impl Into<String>) -> Self {
        Self { url: url.into(), trust: self.trust }
    }

    /// The same address without slashes at its end, for a path to follow.
    #[must_use]
    pub(crate) fn trimmed(mut self) -> Self {
        self.url.truncate(self.url.trim_end_matches('/').len());
        self
    }
}

impl Deref for BaseUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({:?}'s)", self.url, self.trust)
    }
}
