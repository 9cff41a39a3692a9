//! Where Vonage is: calls live in regions, accounts at one place, and numbers at another.

use url::Url;

use crate::net::BaseUrl;

const ACCOUNT: &str = "https://api.nexmo.com";
const NUMBERS: &str = "https://rest.nexmo.com";

/// Three addresses that are one behind a proxy or a simulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VonageHosts {
    /// Calls.
    pub voice: BaseUrl,
    /// The account and its applications.
    pub account: BaseUrl,
    /// Numbers.
    pub numbers: BaseUrl,
}

impl VonageHosts {
    /// With calls at this address. One of the vendor's own, such as a region's, has calls only; any other stands for all three.
    pub fn at(voice: BaseUrl) -> Self {
        if is_vendors(&voice) {
            Self { voice, account: BaseUrl::operator(ACCOUNT), numbers: BaseUrl::operator(NUMBERS) }
        } else {
            Self { account: voice.clone(), numbers: voice.clone(), voice }
        }
    }
}

fn is_vendors(base: &BaseUrl) -> bool {
    let host = Url::parse(base).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.is_some_and(|host| host.ends_with(".nexmo.com") || host.ends_with(".vonage.com"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_calls_only_and_a_proxy_has_everything() {
        for region in ["https://api.nexmo.com", "https://api-eu-3.vonage.com", "https://api-us-1.nexmo.com/"] {
            let hosts = VonageHosts::at(BaseUrl::user(region));
            assert_eq!(hosts.voice, BaseUrl::user(region));
            assert_eq!((&*hosts.account, &*hosts.numbers), (ACCOUNT, NUMBERS), "{region}");
        }
        for proxy in ["http://127.0.0.1:9", "https://vonage.example.com/v", "https://nexmo.com.example.com", "nonsense"]
        {
            let hosts = VonageHosts::at(BaseUrl::user(proxy));
            assert_eq!(
                hosts,
                VonageHosts {
                    voice: BaseUrl::user(proxy),
                    account: BaseUrl::user(proxy),
                    numbers: BaseUrl::user(proxy)
                }
            );
        }
    }
}
