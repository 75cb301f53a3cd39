//! A receiver of webhooks on loopback: it answers with the statuses it was told to, and then with 200, and
//! keeps what came.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    pub headers: BTreeMap<String, String>,
    pub body: String,
    pub answered: u16,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Whether its signature is the key's, as a receiver checks it.
    pub fn is_signed(&self, key: &str) -> bool {
        let given = &self.headers["tenantry-signature"];
        let (at, signature) = given.split_once(",v1=").unwrap();
        let at = at.strip_prefix("t=").unwrap();
        keys::hmac(
            &keys::Secret::new(key),
            format!("{at}.{}", self.body).as_bytes(),
        ) == signature
    }
}

#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    answers: Arc<Mutex<VecDeque<u16>>>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub async fn start(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
            received: Arc::default(),
        };
        let own = this.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let own = own.clone();
                tokio::spawn(async move { own.answer(socket).await });
            }
        });
        this
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    async fn answer(&self, socket: TcpStream) -> Option<()> {
        let mut socket = BufReader::new(socket);
        loop {
            let mut headers = BTreeMap::new();
            let mut line = String::new();
            if socket.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            loop {
                let mut line = String::new();
                socket.read_line(&mut line).await.ok()?;
                let Some((name, value)) = line.trim_end().split_once(':') else {
                    break;
                };
                headers.insert(name.to_lowercase(), value.trim().to_owned());
            }
            let length = headers
                .get("content-length")
                .map_or(0, |n| n.parse().unwrap());
            let mut body = vec![0; length];
            socket.read_exact(&mut body).await.ok()?;
            let answered = self.answers.lock().unwrap().pop_front().unwrap_or(200);
            self.received.lock().unwrap().push(Received {
                headers,
                body: String::from_utf8(body).unwrap(),
                answered,
            });
            let answer = format!("HTTP/1.1 {answered} OK\r\ncontent-length: 0\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.ok()?;
        }
    }
}
