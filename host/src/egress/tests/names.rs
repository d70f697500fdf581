//! A name server on loopback, and the real resolver asking it.

use super::super::SystemResolver;
use super::super::resolve::{Resolve as _, ResolveError};
use super::receiver::Receiver;
use super::*;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the server knows: of each name its records.
type Zone = fn(&str) -> Answer;

enum Answer {
    Addresses(Vec<IpAddr>),
    Alias(String),
    Nothing(ResponseCode),
    Silence,
}

struct NameServer {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _stop: DropGuard,
}

impl NameServer {
    async fn start(zone: Zone) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let (asked, stop) = (Arc::<Mutex<Vec<String>>>::default(), CancellationToken::new());
        let log = asked.clone();
        TaskTracker::new().spawn(stop.clone().run_until_cancelled_owned(async move {
            let mut packet = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut packet).await {
                let query = Message::from_vec(&packet[..length]).unwrap();
                if let Some(answer) = answer(query, zone, &log) {
                    socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
                }
            }
        }));
        Self { port, asked, _stop: stop.drop_guard() }
    }

    fn resolver(&self) -> Arc<SystemResolver> {
        let mut udp = ConnectionConfig::udp();
        udp.port = self.port;
        let server = NameServerConfig::new("127.0.0.1".parse().unwrap(), true, vec![udp]);
        let search = vec![Name::from_ascii("search.example.").unwrap()];
        Arc::new(SystemResolver::asking(ResolverConfig::from_parts(None, search, vec![server])))
    }

    fn client(&self) -> EgressClient {
        self.client_with(settings())
    }

    fn client_with(&self, settings: Settings) -> EgressClient {
        EgressClient::new(settings, Arc::default(), self.resolver(), &TaskTracker::new()).unwrap()
    }

    /// Names that were asked for, each once.
    fn asked(&self) -> Vec<String> {
        let mut names = self.asked.lock().unwrap().clone();
        names.sort();
        names.dedup();
        names
    }

    fn questions(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn answer(query: Message, zone: Zone, log: &Mutex<Vec<String>>) -> Option<Message> {
    let (name, kind) = (query.queries[0].name().clone(), query.queries[0].query_type());
    let text = name.to_ascii().to_ascii_lowercase();
    log.lock().unwrap().push(text.clone());
    let mut message = query;
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    match zone(&text) {
        Answer::Silence => return None,
        Answer::Nothing(code) => message.metadata.response_code = code,
        Answer::Alias(target) => {
            let target = RData::CNAME(CNAME(Name::from_ascii(target).unwrap()));
            message.add_answer(Record::from_rdata(name, 60, target));
        }
        Answer::Addresses(ips) => {
            let records = ips.iter().filter_map(|ip| match (ip, kind) {
                (IpAddr::V4(ip), RecordType::A) => Some(RData::A(A(*ip))),
                (IpAddr::V6(ip), RecordType::AAAA) => Some(RData::AAAA(AAAA(*ip))),
                _ => None,
            });
            message.add_answers(records.map(|record| Record::from_rdata(name.clone(), 60, record)));
        }
    }
    Some(message)
}

fn addresses(list: &[&str]) -> Answer {
    Answer::Addresses(list.iter().map(|ip| ip.parse().unwrap()).collect())
}

/// Aliases of one another, and an address at the end of some of them.
fn chains(name: &str) -> Answer {
    match name {
        "hook.example.com." => Answer::Alias("one.example.net.".to_owned()),
        "one.example.net." => Answer::Alias("two.example.org.".to_owned()),
        "two.example.org." => addresses(&["127.0.0.1"]),
        "inner.example.com." => Answer::Alias("metadata.example.net.".to_owned()),
        "metadata.example.net." => addresses(&["169.254.169.254"]),
        "mixed.example.com." => addresses(&["127.0.0.1", "fd00::1"]),
        "round.example.com." => Answer::Alias("round.example.net.".to_owned()),
        "round.example.net." => Answer::Alias("round.example.com.".to_owned()),
        _ => match name.strip_suffix(".deeper.example.com.") {
            Some(depth) => Answer::Alias(format!("{}.deeper.example.com.", depth.parse::<u32>().unwrap() + 1)),
            None => Answer::Nothing(ResponseCode::NXDomain),
        },
    }
}

#[tokio::test]
async fn the_address_at_the_end_of_a_chain_of_aliases_is_the_one_that_counts() {
    let server = NameServer::start(chains).await;
    let receiver = Receiver::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let (client, port) = (server.client(), receiver.address.port());
    send(&client, &format!("http://hook.example.com:{port}/")).await.unwrap();
    for name in ["inner", "mixed"] {
        let error = fails(&client, &format!("http://{name}.example.com:{port}/")).await;
        assert_eq!(error.class(), "refused-address", "{name}: {error:?}");
    }
    assert_eq!(receiver.accepted(), 1);
}

#[tokio::test]
async fn aliases_without_end_are_followed_a_few_times_and_then_are_a_name_without_address() {
    let server = NameServer::start(chains).await;
    for name in ["round.example.com", "1.deeper.example.com"] {
        let asked_before = server.questions();
        let error = fails(&server.client(), &format!("http://{name}/")).await;
        assert!(matches!(error.class(), "dns-no-address" | "dns-failed"), "{name}: {error:?}");
        assert!(server.questions() - asked_before <= 40, "{} questions", server.questions());
    }
}

#[tokio::test]
async fn a_name_is_asked_for_as_it_is_and_never_within_a_search_domain() {
    let server = NameServer::start(chains).await;
    for name in ["nowhere.example.com", "nowhere.search"] {
        assert_eq!(server.resolver().resolve(name).await, Err(ResolveError::NoAddress));
    }
    assert_eq!(server.asked(), ["nowhere.example.com.", "nowhere.search."]);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_asked_for_once_in_a_while() {
    let server = NameServer::start(chains).await;
    let client = server.client();
    for _ in 0..10 {
        let error = fails(&client, "http://nowhere.example.com/").await;
        assert_eq!((error.class(), error.public_class()), ("dns-no-address", "unreachable"));
    }
    assert_eq!(server.questions(), 2, "one for each family");
}

#[tokio::test]
async fn sixty_answers_are_all_checked() {
    let server = NameServer::start(|_| {
        let many = (0..60_u8).map(|last| IpAddr::from([127, 0, 1, last]));
        Answer::Addresses(many.chain(["10.0.0.1".parse().unwrap()]).collect())
    })
    .await;
    assert_eq!(server.resolver().resolve("many.example.com").await.unwrap().len(), 61);
    assert_eq!(fails(&server.client(), "http://many.example.com/").await.class(), "refused-address");
}

#[tokio::test]
async fn servers_that_fail_are_told_apart_from_ours_that_keeps_silent() {
    let cases: [(Zone, _, _); 4] = [
        (|_| Answer::Nothing(ResponseCode::ServFail), "dns-failed", false),
        (|_| Answer::Nothing(ResponseCode::Refused), "dns-unavailable", true),
        (|name| if name == "." { addresses(&[]) } else { Answer::Silence }, "dns-timeout", false),
        (|_| Answer::Silence, "dns-unavailable", true),
    ];
    let started = Instant::now();
    let checks = cases.map(|(zone, class, ours)| async move {
        let server = NameServer::start(zone).await;
        let quick = Settings { dns_budget: SECOND / 10, ..settings() };
        let error = fails(&server.client_with(quick), "http://hook.example.com/").await;
        assert_eq!((error.class(), error.is_ours()), (class, ours), "{error:?}");
    });
    futures_util::future::join_all(checks).await;
    assert!(started.elapsed() < 4 * SECOND, "the budgets are 100 ms and 500 ms");
}

#[tokio::test]
async fn a_name_whose_servers_keep_silent_is_left_alone_for_a_while() {
    let server = NameServer::start(|name| if name == "." { addresses(&[]) } else { Answer::Silence }).await;
    let quick = Settings { dns_budget: SECOND / 10, ..settings() };
    let client = server.client_with(quick);
    assert_eq!(fails(&client, "http://hook.example.com/").await.class(), "dns-timeout");
    let asked = server.questions();
    for _ in 0..100 {
        assert_eq!(fails(&client, "http://hook.example.com/").await.class(), "dns-timeout");
    }
    assert_eq!(server.questions(), asked);
}

#[tokio::test]
async fn an_answer_that_comes_after_the_budget_is_none() {
    let server = NameServer::start(chains).await;
    let resolver = server.resolver();
    let late = Late(resolver);
    let quick = Settings { dns_budget: SECOND / 10, ..settings() };
    let client = EgressClient::new(quick, Arc::default(), Arc::new(late), &TaskTracker::new()).unwrap();
    assert_eq!(fails(&client, "http://hook.example.com/").await.class(), "dns-timeout");
}

struct Late(Arc<SystemResolver>);

#[async_trait]
impl super::Resolve for Late {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        sleep(SECOND).await;
        self.0.resolve(name).await
    }
}
