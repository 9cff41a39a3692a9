//! Where an organisation is.
//!
//! Its name is a user's word, so it becomes a host of the vendor's or nothing; so is the vendor's word of where the organisation's data
//! is, for whoever answers in the vendor's place would be sent the token.

use url::Url;

use crate::{account::AccountError, net::BaseUrl};

/// The vendor's domain, whose hosts all are the vendor's.
const VENDOR: &str = ".salesforce.com";
/// What follows an organisation's name.
const MY: &str = ".my.salesforce.com";
/// The same in front of the web pages, which is what stands in a browser.
const PAGES: &str = ".lightning.force.com";

/// An organisation's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Org {
    login: BaseUrl,
    is_sandbox: bool,
}

impl Org {
    /// By its My Domain: `acme`, `acme--dev.sandbox`, or a whole host such as `acme.my.salesforce.com` or `login.salesforce.com`.
    /// `operator` is an address that stands for the vendor's, such as a proxy's or a simulator's.
    pub fn new(my_domain: &str, operator: Option<&str>) -> Result<Self, AccountError> {
        let host = host(my_domain).ok_or(AccountError::ForeignHost)?;
        let is_sandbox = host == "test.salesforce.com" || host.ends_with(&format!(".sandbox{MY}"));
        let login = match operator {
            Some(url) => BaseUrl::operator(url.trim_end_matches('/')),
            None => BaseUrl::user(format!("https://{host}")),
        };
        Ok(Self { login, is_sandbox })
    }

    /// Where tokens are given.
    pub(super) const fn login(&self) -> &BaseUrl {
        &self.login
    }

    /// Whom a signed assertion is for.
    pub(super) const fn audience(&self) -> &'static str {
        if self.is_sandbox { "https://test.salesforce.com" } else { "https://login.salesforce.com" }
    }

    /// Where the organisation's data is, as the vendor's answer says: a host of the vendor's, or the operator's own.
    pub fn instance(&self, url: &str) -> Result<BaseUrl, AccountError> {
        let foreign = || AccountError::ForeignHost;
        let parsed = Url::parse(url).map_err(|_| foreign())?;
        let has_host_only = matches!(parsed.path(), "" | "/")
            && parsed.query().is_none()
            && parsed.fragment().is_none()
            && parsed.username().is_empty()
            && parsed.password().is_none();
        if !has_host_only {
            return Err(foreign());
        }
        let origin = parsed.origin();
        if self.login.trust() == crate::net::Trust::Operator
            && Url::parse(&self.login).is_ok_and(|login| login.origin() == origin)
        {
            return Ok(BaseUrl::operator(origin.ascii_serialization()));
        }
        let is_vendors = parsed.scheme() == "https"
            && parsed.port().is_none()
            && parsed.domain().is_some_and(|host| host.ends_with(VENDOR) && is_name(host));
        if is_vendors { Ok(BaseUrl::user(origin.ascii_serialization())) } else { Err(foreign()) }
    }
}

fn host(my_domain: &str) -> Option<String> {
    let name = my_domain.trim().to_ascii_lowercase();
    if !is_name(&name) {
        return None;
    }
    if let Some(org) = name.strip_suffix(PAGES) {
        return Some(format!("{org}{MY}"));
    }
    let is_whole = name == "login.salesforce.com" || name == "test.salesforce.com" || name.ends_with(MY);
    let host = match name.as_str() {
        "login" | "test" => format!("{name}{VENDOR}"),
        _ if is_whole => name,
        _ => format!("{name}{MY}"),
    };
    is_name(&host).then_some(host)
}

/// Labels of letters, digits and hyphens with dots between them: nothing that could end the host of a URL.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(my_domain: &str) -> Option<String> {
        Org::new(my_domain, None).ok().map(|org| org.login.to_string())
    }

    #[test]
    fn a_name_becomes_a_host_of_the_vendors() {
        let table = [
            ("acme", "https://acme.my.salesforce.com"),
            (" Acme ", "https://acme.my.salesforce.com"),
            ("acme.my.salesforce.com", "https://acme.my.salesforce.com"),
            ("acme--dev.sandbox", "https://acme--dev.sandbox.my.salesforce.com"),
            ("acme-dev-ed.develop.my.salesforce.com", "https://acme-dev-ed.develop.my.salesforce.com"),
            ("acme.lightning.force.com", "https://acme.my.salesforce.com"),
            ("login", "https://login.salesforce.com"),
            ("test.salesforce.com", "https://test.salesforce.com"),
        ];
        for (name, url) in table {
            assert_eq!(login(name).as_deref(), Some(url), "{name}");
        }
    }

    /// Whatever a user writes leads to the vendor, or nowhere.
    #[test]
    fn no_spelling_leads_elsewhere() {
        let spellings = [
            "evil.example",
            "169.254.169.254",
            "localhost",
            "127.0.0.1",
            "0x7f.1",
            "acme.my.salesforce.com.evil.example",
            "evilsalesforce.com",
            "metadata.google.internal",
        ];
        for name in spellings {
            let url = Url::parse(&login(name).unwrap()).unwrap();
            assert!(url.domain().unwrap().ends_with(".my.salesforce.com"), "{url}");
        }
        let cut_off = [
            "evil.example/",
            "evil.example#",
            "evil.example?",
            "evil.example:443",
            "evil.example\\",
            "a@evil.example",
            "https://evil.example",
            "//evil.example",
            "evil.example%2f",
            "evil.example%00",
            "evil.example\n",
            "[::1]",
            "::1",
            "é",
            "",
            ".",
            "a..b",
            "evil.example/.my.salesforce.com",
            "１２７.0.0.1",
        ];
        for name in cut_off {
            if let Some(url) = login(name) {
                assert_eq!(name, "evil.example\n", "{name:?} becomes {url}");
                assert_eq!(url, "https://evil.example.my.salesforce.com");
            }
        }
        assert_eq!(login(&"a".repeat(64)), None);
        assert_eq!(login("a.".repeat(125).trim_end_matches('.')), None);
    }

    #[test]
    fn an_operators_address_stands_for_the_vendors() {
        let org = Org::new("acme--dev.sandbox", Some("http://127.0.0.1:9/")).unwrap();
        assert_eq!(org.login, BaseUrl::operator("http://127.0.0.1:9"));
        assert_eq!(org.audience(), "https://test.salesforce.com");
        assert_eq!(org.instance("http://127.0.0.1:9"), Ok(BaseUrl::operator("http://127.0.0.1:9")));
        assert_eq!(org.instance("https://acme.my.salesforce.com"), Ok(BaseUrl::user("https://acme.my.salesforce.com")));
        for elsewhere in ["http://127.0.0.1:10", "https://127.0.0.1:9", "http://localhost:9", "http://127.0.0.1:9/x"] {
            assert_eq!(org.instance(elsewhere), Err(AccountError::ForeignHost), "{elsewhere}");
        }
        assert_eq!(Org::new("evil/", Some("http://127.0.0.1:9")), Err(AccountError::ForeignHost));
    }

    #[test]
    fn an_instance_is_the_vendors() {
        let org = Org::new("acme", None).unwrap();
        assert_eq!(org.audience(), "https://login.salesforce.com");
        for good in
            ["https://acme.my.salesforce.com", "https://acme.my.salesforce.com/", "https://na139.salesforce.com:443"]
        {
            assert!(org.instance(good).is_ok_and(|base| base.trust() == crate::net::Trust::User), "{good}");
        }
        for bad in [
            "http://acme.my.salesforce.com",
            "https://acme.my.salesforce.com:8443",
            "https://salesforce.com.evil.example",
            "https://evilsalesforce.com",
            "https://evil.example/.salesforce.com",
            "https://a@acme.my.salesforce.com",
            "https://acme.my.salesforce.com@evil.example",
            "https://169.254.169.254",
            "https://acme.my.salesforce.com/x",
            "https://acme.my.salesforce.com?x",
            "https://acme.my.salesforce.com#x",
            "ftp://acme.my.salesforce.com",
            "acme",
            "",
        ] {
            assert_eq!(org.instance(bad), Err(AccountError::ForeignHost), "{bad}");
        }
    }
}
