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

/// Where a call lives that a webhook named this region for. A host of the vendor's is taken as it is, and one that is the configured
/// one's too, whatever its port; for anything else, and behind a proxy, it is the configured address.
pub(super) fn region(configured: &BaseUrl, region_url: &str) -> BaseUrl {
    let (Ok(named), Ok(own)) = (Url::parse(region_url), Url::parse(configured)) else { return configured.clone() };
    let plain = named.username().is_empty() && named.password().is_none() && named.query().is_none();
    if !plain {
        return configured.clone();
    }
    if is_vendors(configured) {
        let good = is_vendors_host(&named) && named.scheme() == "https" && named.port().is_none();
        // The host alone: what stands behind it is ours to say.
        let base = || format!("https://{}", named.host_str().unwrap_or_default());
        return if good { configured.same_trust(base()) } else { configured.clone() };
    }
    let same_host = named.scheme() == own.scheme() && named.host_str() == own.host_str();
    if same_host && !named.cannot_be_a_base() { configured.same_trust(region_url) } else { configured.clone() }
}

fn is_vendors(base: &BaseUrl) -> bool {
    Url::parse(base).is_ok_and(|url| is_vendors_host(&url))
}

fn is_vendors_host(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.ends_with(".nexmo.com") || host.ends_with(".vonage.com"))
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

    #[test]
    fn a_region_is_one_of_the_vendor_s_or_where_the_configured_address_is() {
        let vendor = BaseUrl::operator("https://api.nexmo.com");
        let own = BaseUrl::user("http://127.0.0.1:9106");
        for (configured, named, used) in [
            (&vendor, "https://api-eu-3.vonage.com", "https://api-eu-3.vonage.com"),
            (&vendor, "https://api-us-1.nexmo.com/", "https://api-us-1.nexmo.com"),
            (&vendor, "https://api-us-1.nexmo.com/else/where", "https://api-us-1.nexmo.com"),
            (&vendor, "http://api-eu-3.vonage.com", "https://api.nexmo.com"),
            (&vendor, "https://api-eu-3.vonage.com:8443", "https://api.nexmo.com"),
            (&vendor, "https://me@api-eu-3.vonage.com", "https://api.nexmo.com"),
            (&vendor, "https://evil.example", "https://api.nexmo.com"),
            (&vendor, "https://evilvonage.com", "https://api.nexmo.com"),
            (&vendor, "https://api.vonage.com.evil.example", "https://api.nexmo.com"),
            (&vendor, "https://169.254.169.254", "https://api.nexmo.com"),
            (&vendor, "", "https://api.nexmo.com"),
            (&own, "http://127.0.0.1:9107", "http://127.0.0.1:9107"),
            (&own, "http://127.0.0.2:9107", "http://127.0.0.1:9106"),
            // A proxy knows the way to the regions.
            (&own, "https://api-eu-3.vonage.com", "http://127.0.0.1:9106"),
        ] {
            let base = region(configured, named);
            assert_eq!((&*base, base.trust()), (used, configured.trust()), "{named}");
        }
    }
}
