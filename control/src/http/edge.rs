//! What operators say about requests from outside.

use axum::http::HeaderValue;
use trunkline_base::guard::AllowedRanges;

use crate::limits::Limiter;

/// Where requests may come from, and how often.
#[derive(Debug)]
pub struct Edge {
    /// How often.
    pub limiter: Limiter,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: AllowedRanges,
    /// Pages of which origins may ask, exactly as browsers say them.
    pub cors_origins: Vec<Origin>,
}

/// An origin as a browser says it: scheme, host and port, no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// Not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin such as https://app.example.com: a scheme, a host and no path")]
pub struct BadOrigin(String);

impl Origin {
    /// Several, with commas between.
    pub fn list(text: &str) -> Result<Vec<Self>, BadOrigin> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::parse).collect()
    }

    pub(super) const fn value(&self) -> &HeaderValue {
        &self.0
    }
}

impl std::str::FromStr for Origin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let bad = || BadOrigin(text.to_owned());
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or_else(bad)?;
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(good) {
            return Err(bad());
        }
        HeaderValue::try_from(text).map(Self).map_err(|_| bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_says_and_nothing_more() {
        let list = Origin::list(" https://app.example.com , http://localhost:5173,http://[::1]:8080,").unwrap();
        assert_eq!(list.len(), 3);
        assert_eq!(list[0].value(), "https://app.example.com");
        for bad in [
            "*",
            "null",
            "app.example.com",
            "https://",
            "https://a/",
            "https://A.example",
            "ftp://a",
            "https://u@a",
            "https://*.a",
        ] {
            assert_eq!(Origin::list(&format!("https://ok.example,{bad}")).unwrap_err(), BadOrigin(bad.into()), "{bad}");
        }
    }
}
