//! A TCP proxy that can be switched off and on: a server that goes away and comes back, without touching it.

use std::sync::{Arc, Mutex};

use backshift_testkit::ports::free_port;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinHandle},
};
use url::Url;

/// Off, it refuses connections and has cut the open ones.
pub(crate) struct Proxy {
    port: u16,
    on: watch::Sender<bool>,
    open: Arc<Mutex<Vec<AbortHandle>>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Before the server of this URL; `on` or off at first.
    pub(crate) async fn start(server: &str, on: bool) -> Self {
        let server = Url::parse(server).unwrap();
        let target = format!("{}:{}", server.host_str().unwrap(), server.port().unwrap());
        let port = free_port().unwrap();
        let (on, mut switched) = watch::channel(on);
        let open: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let theirs = Arc::clone(&open);
        let accepting = tokio::spawn(async move {
            while switched.wait_for(|on| *on).await.is_ok() {
                // Bound anew each time: off means that nobody listens.
                let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await else { continue };
                loop {
                    // Who knocks while it is switched off is not let in beside that.
                    tokio::select! {
                        biased;
                        _ = switched.wait_for(|on| !*on) => break,
                        accepted = listener.accept() => {
                            let Ok((client, _)) = accepted else { continue };
                            theirs.lock().unwrap().push(tokio::spawn(pass(client, target.clone())).abort_handle());
                        }
                    }
                }
            }
        });
        Self { port, on, open, accepting }
    }

    /// The URL of the server, through this proxy.
    pub(crate) fn url(&self, server: &str) -> String {
        let mut url = Url::parse(server).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.into()
    }

    /// Cuts what is open and refuses what comes.
    pub(crate) fn switch_off(&self) {
        self.on.send_replace(false);
        self.open.lock().unwrap().drain(..).for_each(|passing| passing.abort());
    }

    /// Lets connections through again.
    pub(crate) fn switch_on(&self) {
        self.on.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.switch_off();
    }
}

async fn pass(mut client: TcpStream, target: String) {
    if let Ok(mut server) = TcpStream::connect(target).await {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
