//! `backshift dev` on an empty directory: a person signs up on the pages, and a restart keeps everything.

use std::time::Duration;

use backshift_testkit::{ports::free_port, process::Running, wait};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    ports::taken,
    scene::{Answer, PATIENCE, Settings, backshift, request},
    secrets::holds_code,
};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// One `dev` on a directory of its own.
struct Dev {
    process: Running,
    port: u16,
}

impl Dev {
    async fn start(directory: &TempDir) -> Self {
        let port = free_port().unwrap();
        let settings = settings(directory).with(&[("BACKSHIFT_DEV_PORT", &port.to_string())]);
        let process = Running::start(&["dev"], &settings.pairs());
        let url = format!("http://127.0.0.1:{port}");
        assert!(process.wait_for_output(&url, PATIENCE).await, "{}", process.output());
        Self { process, port }
    }

    async fn get(&self, path: &str, cookie: &str) -> Answer {
        request(self.port, "GET", path, &[("Cookie", cookie)], b"").await.unwrap()
    }

    async fn post(&self, path: &str, fields: &str) -> Answer {
        request(self.port, "POST", path, &[FORM], fields.as_bytes()).await.unwrap()
    }

    /// The ids of the mails, newest first.
    async fn mails(&self) -> Vec<String> {
        let page = self.get("/mailbox", "").await.body;
        page.split("href=\"/mailbox/")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect()
    }

    /// Waits for a mail and reads the six digits in it.
    async fn code(&self) -> String {
        let there = wait::until(PATIENCE, || async { !self.mails().await.is_empty() });
        assert!(there.await, "no mail came\n{}", self.process.output());
        let mail = self.get(&format!("/mailbox/{}", self.mails().await[0]), "").await.body;
        let text = mail.split("<pre").nth(1).expect("the text of the mail").to_owned();
        let code = text.split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 6);
        code.unwrap_or_else(|| panic!("no code in {text}")).to_owned()
    }

    async fn terminated(mut self) -> Option<i32> {
        self.process.terminate();
        self.process.ended(Duration::from_secs(10)).await.and_then(|status| status.code())
    }
}

fn settings(directory: &TempDir) -> Settings {
    Settings::of(&[("BACKSHIFT_DATA_DIR", directory.path().join("data").to_str().unwrap())])
}

/// The session in `Set-Cookie`, as a browser sends it back.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {answer:?}"));
    assert!(set.contains("HttpOnly") && set.contains("SameSite"), "{set}");
    set.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_signs_up_on_the_pages_and_a_restart_keeps_it_all() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(&directory).await;
    let home = dev.get("/", "").await;
    assert_eq!(home.status, 200);
    for link in ["/signup", "/mailbox", "/overview"] {
        assert!(home.body.contains(&format!("href=\"{link}\"")), "{link} in {}", home.body);
        assert_eq!(dev.get(link, "").await.status, 200, "{link}");
    }
    let ready = || async { dev.get("/readyz", "").await.status == 200 };
    assert!(wait::until(PATIENCE, ready).await, "{}", dev.get("/readyz", "").await.body);
    assert!(dev.mails().await.is_empty());
    let person = "email=lan%40example.com";
    let weak = dev.post("/signup", &format!("{person}&password=short")).await;
    assert_eq!(weak.status, 400, "{weak:?}");
    let signed = dev.post("/signup", &format!("{person}&password=correct+horse")).await;
    assert_eq!((signed.status, signed.header("location")), (303, Some("/code?email=lan%40example.com")));
    let code = dev.code().await;
    let wrong = if code == "111111" { "111112" } else { "111111" };
    assert_eq!(dev.post("/code", &format!("{person}&otp={wrong}")).await.status, 400);
    let right = dev.post("/code", &format!("{person}&otp={code}")).await;
    assert_eq!((right.status, right.header("location")), (303, Some("/me")), "{right:?}");
    let session = cookie(&right);
    let me = dev.get("/me", &session).await;
    assert!(
        me.status == 200 && me.body.contains("lan@example.com") && me.body.contains("trialing"),
        "{me:?}"
    );
    the_jobs_page_shows_the_work(&dev, &code).await;
    assert_eq!(dev.terminated().await, Some(0), "within 10 s");

    let dev = Dev::start(&directory).await;
    assert_eq!(dev.mails().await.len(), 1, "the mailbox is kept");
    let me = dev.get("/me", &session).await;
    assert!(me.body.contains("lan@example.com"), "the session outlives a restart: {me:?}");
    let signin = dev.post("/signin", &format!("{person}&password=correct+horse")).await;
    assert_eq!((signin.status, signin.header("location")), (303, Some("/me")));
    let out = dev.post("/signout", "").await;
    assert!(cookie(&out).ends_with('='), "{out:?}");
    assert_eq!(dev.get("/me", "").await.header("location"), Some("/signin"));
    assert!(!holds_code(&dev.process.output(), &code), "no code in what it prints");
    assert_eq!(dev.terminated().await, Some(0));
}

async fn the_jobs_page_shows_the_work(dev: &Dev, code: &str) {
    let page = dev.get("/jobs", "").await;
    let link = page
        .body
        .split("href=\"/jobs/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .find(|id| id.len() == 36);
    let job = dev.get(&format!("/jobs/{}", link.expect("a job on the page")), "").await;
    assert_eq!(job.status, 200);
    assert!(!holds_code(&job.body, code) && !holds_code(&page.body, code), "no page shows the code");
}

#[tokio::test]
async fn a_second_dev_on_the_same_data_names_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(&directory).await;
    let second = backshift(&["dev"], &settings(&directory).pairs()).await;
    assert_eq!(second.code, 75, "{second:?}");
    for word in [dev.process.pid().to_string(), format!("http://127.0.0.1:{}", dev.port)] {
        assert!(second.err.contains(&word), "{word} in {second:?}");
    }
    assert_eq!(dev.get("/readyz", "").await.status, 200, "the first one is unharmed");
    dev.process.kill().await;
    let after = Dev::start(&directory).await;
    assert_eq!(after.terminated().await, Some(0));
}

#[tokio::test]
async fn commands_look_into_the_data_of_a_running_dev() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(&directory).await;
    dev.post("/signup", "email=a%40example.com&password=correct+horse").await;
    dev.code().await;
    let done = wait::until(PATIENCE, || async {
        let listed =
            backshift(&["jobs", "list", "--json", "--state", "completed"], &settings(&directory).pairs())
                .await;
        !listed.done().list().is_empty()
    });
    assert!(done.await, "{}", dev.process.output());
    let granted = backshift(&["users", "grant-admin", "a@example.com"], &settings(&directory).pairs()).await;
    granted.done();
}

#[tokio::test]
async fn a_taken_port_is_refused_only_when_it_was_chosen() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(&directory).await;
    let other = tempfile::tempdir().unwrap();
    let chosen = settings(&other).with(&[("BACKSHIFT_DEV_PORT", &dev.port.to_string())]);
    let refused = backshift(&["dev"], &chosen.pairs()).await;
    assert_eq!(refused.code, 78, "{refused:?}");
    assert!(refused.err.contains(&dev.port.to_string()), "{refused:?}");
}

#[tokio::test]
async fn pages_refuse_other_hosts_and_other_sites() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(&directory).await;
    let site = [FORM, ("Sec-Fetch-Site", "cross-site")];
    let fields = b"email=x%40example.com&password=correct+horse";
    assert_eq!(request(dev.port, "POST", "/signup", &site, fields).await.unwrap().status, 403);
    let page = dev.get("/overview", "").await;
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("http:"), "{policy}");
    let api = request(
        dev.port,
        "POST",
        "/api/v1/authentication/login",
        &[("Content-Type", "application/json")],
        b"{}",
    );
    assert_eq!(api.await.unwrap().json()["error_code"], Value::from(110_002), "the API is there too");
}

#[tokio::test]
async fn nothing_of_dev_answers_to_a_name_that_somebody_points_at_it() {
    let directory = tempfile::tempdir().unwrap();
    let dev = Dev::start(&directory).await;
    let ask = async |head: &str| {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", dev.port)).await.unwrap();
        stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for path in [
        "/",
        "/overview",
        "/events",
        "/mailbox",
        "/metrics",
        "/readyz",
        "/healthz",
        "/health",
        "/api/v1/plans",
        "/nothing",
    ] {
        let rebound = format!("GET {path} HTTP/1.1\r\nhost: evil.example:{}\r\n", dev.port);
        assert_eq!(ask(&rebound).await, "421", "{path}");
        let absolute = format!("GET http://evil.example{path} HTTP/1.1\r\nhost: evil.example\r\n");
        assert_eq!(ask(&absolute).await, "421", "{path}");
        let two = format!("GET http://evil.example{path} HTTP/1.1\r\nhost: localhost\r\n");
        assert_eq!(ask(&two).await, "400", "{path}");
    }
    let own = format!("GET /api/v1/plans HTTP/1.1\r\nhost: LocalHost.:{}\r\n", dev.port);
    assert_eq!(ask(&own).await, "200");
}

#[tokio::test]
async fn the_next_port_is_taken_when_nobody_chose_one() {
    let directory = tempfile::tempdir().unwrap();
    let _holder = taken(8080).await;
    let process = Running::start(&["dev"], &settings(&directory).pairs());
    assert!(process.wait_for_output("http://127.0.0.1:", PATIENCE).await, "{}", process.output());
    let output = process.output();
    let port = output.split("http://127.0.0.1:").nth(1).unwrap();
    let port: u16 = port.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    assert!((8081..=8180).contains(&port), "{port}");
    assert_eq!(request(port, "GET", "/", &[], b"").await.unwrap().status, 200);
    assert_eq!(Dev { process, port }.terminated().await, Some(0));
}
