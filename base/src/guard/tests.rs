use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::{Client, Method, Request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// Names that lead where a test says, each time to the next list of addresses, at last always to the last.
#[derive(Debug, Default)]
struct Book {
    names: Mutex<BTreeMap<String, Vec<Vec<IpAddr>>>>,
    asked: AtomicUsize,
}

impl Book {
    fn new(names: &[(&str, &[&str])]) -> Arc<Self> {
        let read = |list: &&str| list.split_whitespace().map(|ip| ip.parse().unwrap()).collect();
        let names = names.iter().map(|(name, lists)| ((*name).to_owned(), lists.iter().map(read).collect())).collect();
        Arc::new(Self { names: Mutex::new(names), asked: AtomicUsize::new(0) })
    }
}

impl Names for Book {
    fn lookup<'a>(&'a self, name: &'a str) -> Lookup<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut names = self.names.lock().unwrap();
        let found = match names.get_mut(name) {
            Some(lists) if lists.len() > 1 => Ok(lists.remove(0)),
            Some(lists) => Ok(lists[0].clone()),
            None => Err(std::io::Error::other("no such name")),
        };
        Box::pin(async move { if name == "slow.example" { std::future::pending().await } else { found } })
    }
}

fn strict() -> Guard {
    Guard::new(AllowedRanges::none()).with_names(Book::new(&[
        ("public.example", &["93.184.215.14 2606:2800:21f:cb07::1"]),
        ("inside.example", &["10.0.0.5"]),
        ("mixed.example", &["93.184.215.14 169.254.169.254"]),
        ("mapped.example", &["::ffff:192.168.0.1"]),
        ("empty.example", &[""]),
        ("localhost", &["127.0.0.1 ::1"]),
        ("localhost.", &["127.0.0.1"]),
    ]))
}

#[tokio::test]
async fn every_spelling_of_an_inside_address_is_refused() {
    let loopback = "https://127.0.0.1 https://127.1 https://127.0.1 https://2130706433 https://0x7f000001 https://0x7f.1 \
                    https://017700000001 https://0177.0.0.1 https://0x7F.0x0.0x0.0x1 https://127.0.0.1. https://%31%32%37.0.0.1 \
                    https://１２７.０.０.１ https://127。0。0。1 https://①②⑦.0.0.1 https://[::1] https://[0:0:0:0:0:0:0:1] \
                    https://[::ffff:127.0.0.1] https://[::ffff:7f00:1] https://[64:ff9b::7f00:1] https://[2002:7f00:1::] \
                    https://localhost https://LOCALHOST https://localhost. HTTPS://127.0.0.1:8443/v1?x#y https://127.0.0.1:443";
    let table = [
        (loopback, Zone::Loopback),
        ("https://0 https://0.0.0.0 https://[::] https://0x0 https://[::ffff:0:0]", Zone::Unspecified),
        (
            "https://10.0.0.1 https://0xa000001 https://167772161 https://012.1 https://[fd00::1] https://inside.example",
            Zone::Private,
        ),
        ("https://mapped.example https://192.168.1 https://172.16.0.1:8000/v1 https://[fd00:ec2::254]", Zone::Private),
        (
            "https://169.254.169.254/latest https://2852039166 https://0xa9fea9fe https://0251.0376.0251.0376",
            Zone::LinkLocal,
        ),
        (
            "https://[::ffff:a9fe:a9fe] https://mixed.example https://[fe80::1] https://[2002:a9fe:a9fe::1]",
            Zone::LinkLocal,
        ),
        ("https://100.64.0.1", Zone::Shared),
        ("https://224.0.0.1 https://[ff02::1]", Zone::Multicast),
        ("https://255.255.255.255 https://4294967295", Zone::Broadcast),
        ("https://192.0.2.1 https://[2001:db8::1]", Zone::Documentation),
        ("https://198.18.0.1", Zone::Benchmarking),
        ("https://[::127.0.0.1] https://[2001:0:4136:e378:8000:63bf:80ff:fffe] https://240.0.0.1", Zone::Reserved),
    ];
    let guard = strict();
    for (urls, zone) in table {
        for url in urls.split_whitespace() {
            assert_eq!(guard.check(url).await, Err(GuardError::Inside(zone)), "{url}");
        }
    }
}

#[tokio::test]
async fn what_is_no_plain_https_url_is_refused() {
    let guard = strict();
    let table = [
        (GuardError::NotAUrl, "|public.example|//public.example|https:public.example|https:/public.example|https://"),
        (GuardError::NotAUrl, "https:///public.example|https://?x|https:\\\\public.example|https://public.example\\@x"),
        (
            GuardError::NotAUrl,
            " https://public.example|https://public.example |https://pub\tlic.example|https://a\nb|https://a\0b",
        ),
        (
            GuardError::NotAUrl,
            "https://1.2.3.4.5|https://256.1.1.1|https://[::1|https://[fe80::1%25eth0]|https://a:99999|https://a b",
        ),
        (
            GuardError::Scheme,
            "ftp://public.example|file:///etc/passwd|gopher://127.0.0.1|ws://public.example|wss://public.example|://x",
        ),
        (
            GuardError::UserInfo,
            "https://user@public.example|https://u:p@public.example|https://@public.example|https://:@127.0.0.1",
        ),
        (GuardError::UserInfo, "https://public.example:443@127.0.0.1/|https://public.example@169.254.169.254"),
        (
            GuardError::Port,
            "https://public.example:0|https://public.example:22|https://public.example:25|https://8.8.8.8:1023",
        ),
        (GuardError::PlainHttp, "http://public.example|http://8.8.8.8|HTTP://public.example:8080/v1"),
        (GuardError::Unresolved, "https://nowhere.example|https://empty.example"),
    ];
    for (error, urls) in table {
        for url in urls.split('|') {
            assert_eq!(guard.check(url).await, Err(error), "{url:?}");
        }
    }
    let long = format!("https://public.example/{}", "a".repeat(MAX_URL));
    assert_eq!(guard.check(&long).await, Err(GuardError::TooLong));
}

#[tokio::test]
async fn what_is_public_passes_with_the_addresses_that_were_checked() {
    let guard = strict();
    let checked = guard.check("https://Public.Example:8443/v1?x=1").await.unwrap();
    assert_eq!(checked.url().as_str(), "https://public.example:8443/v1?x=1");
    let addrs: Vec<String> = checked.addrs().iter().map(ToString::to_string).collect();
    assert_eq!(addrs, ["93.184.215.14:8443", "[2606:2800:21f:cb07::1]:8443"]);
    for (url, addr) in [
        ("https://8.8.8.8", "8.8.8.8:443"),
        ("https://134744072/", "8.8.8.8:443"),
        ("https://[2606:4700::1]:1024", "[2606:4700::1]:1024"),
        ("https://[64:ff9b::8.8.8.8]", "[64:ff9b::808:808]:443"),
    ] {
        assert_eq!(guard.check(url).await.unwrap().addrs(), [addr.parse().unwrap()], "{url}");
    }
}

#[tokio::test]
async fn an_operator_may_allow_ranges_and_only_those_may_be_plain() {
    let guard = Guard { allowed: Arc::new("10.0.0.0/24,127.0.0.0/8,::1".parse().unwrap()), ..strict() };
    for url in [
        "http://10.0.0.7:8000/v1",
        "https://10.0.0.7",
        "http://inside.example",
        "http://localhost:1025",
        "http://[::1]:8000",
    ] {
        assert!(guard.check(url).await.is_ok(), "{url}");
    }
    for (url, error) in [
        ("http://10.0.1.7", GuardError::Inside(Zone::Private)),
        ("http://mixed.example", GuardError::PlainHttp),
        ("http://public.example", GuardError::PlainHttp),
        ("http://10.0.0.7:22", GuardError::Port),
        ("http://u@10.0.0.7", GuardError::UserInfo),
    ] {
        assert_eq!(guard.check(url).await, Err(error), "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_names_have_a_limit() {
    let checked = strict().check("https://slow.example").await;
    assert_eq!(checked, Err(GuardError::ResolveTimeout));
    assert!(!GuardError::ResolveTimeout.is_permanent() && GuardError::Inside(Zone::Private).is_permanent());
}

/// A server that answers every connection with a redirect, and how many connections it had.
async fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 1024]).await;
            let answer = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (addr, count)
}

/// A client without TLS, which these tests don't reach.
fn client(guard: Guard) -> GuardedClient {
    GuardedClient::new(guard, || Client::builder().tls_backend_preconfigured(tls())).unwrap()
}

fn tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

async fn get(client: &GuardedClient, url: &str) -> Result<u16, GuardedError> {
    let request = Request::new(Method::GET, url.parse().unwrap());
    client.execute(request).await.map(|response| response.status().as_u16())
}

#[tokio::test]
async fn the_client_connects_to_nothing_inside() {
    let (addr, connections) = server().await;
    let port = addr.port();
    let book = Book::new(&[("rebind.example", &["127.0.0.1"]), ("localhost", &["127.0.0.1"])]);
    let client = client(Guard::new("10.0.0.0/8".parse().unwrap()).with_names(book));
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://rebind.example:{port}/"),
        format!("http://localhost:{port}/"),
        format!("https://rebind.example:{port}/"),
        format!("https://127.0.0.1:{port}/"),
    ] {
        let refused = get(&client, &url).await;
        assert!(
            matches!(refused, Err(GuardedError::Refused(GuardError::Inside(Zone::Loopback)))),
            "{url}: {refused:?}"
        );
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_refused_when_it_is_connected_to() {
    let (addr, connections) = server().await;
    let book = Book::new(&[("rebind.example", &["8.8.8.8", "127.0.0.1"])]);
    let guard = Guard::new(AllowedRanges::none()).with_names(book.clone());
    let url = format!("https://rebind.example:{}/", addr.port());
    assert!(guard.check(&url).await.is_ok(), "the first time it leads outside");
    let refused = get(&client(guard), &url).await;
    assert!(matches!(refused, Err(GuardedError::Refused(GuardError::Inside(Zone::Loopback)))), "{refused:?}");
    assert_eq!((book.asked.load(Ordering::SeqCst), connections.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test]
async fn what_is_allowed_is_reached_by_one_lookup_and_a_redirect_is_not_followed() {
    let (addr, connections) = server().await;
    let book = Book::new(&[("near.example", &["127.0.0.1"])]);
    let client = client(Guard::new(AllowedRanges::loopback()).with_names(book.clone()));
    for host in ["near.example", "127.0.0.1"] {
        assert_eq!(get(&client, &format!("http://{host}:{}/", addr.port())).await.unwrap(), 302, "{host}");
    }
    assert_eq!((book.asked.load(Ordering::SeqCst), connections.load(Ordering::SeqCst)), (1, 2));
}
