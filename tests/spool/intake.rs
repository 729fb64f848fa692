//! An intake that counts the titles of events.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// What it does with requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    Answers503,
    /// Closes the connection in the middle.
    Resets,
    Accepts,
}

struct Shared {
    mode: Mutex<Mode>,
    arrived: Mutex<BTreeMap<String, u64>>,
}

pub struct Intake {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Intake {
    /// Listens until the test program ends.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { mode: Mutex::new(Mode::Answers503), arrived: Mutex::default() });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&serving);
                // Whoever is killed breaks its connections.
                thread::spawn(move || stream.and_then(|stream| serve(&stream, &shared)).ok());
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// Titles that arrived, and how often.
    pub fn arrived(&self) -> BTreeMap<String, u64> {
        self.shared.arrived.lock().unwrap().clone()
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mode = *shared.mode.lock().unwrap();
        let status = match mode {
            Mode::Resets => return Ok(()),
            Mode::Answers503 => "503 X",
            Mode::Accepts => {
                count(&body, &mut shared.arrived.lock().unwrap());
                "202 Accepted"
            }
        };
        write!(&mut &*stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")?;
    }
}

/// Panics: what arrives is not what an intake takes. The thread dies, nothing is counted, and so the test fails.
fn count(body: &[u8], arrived: &mut BTreeMap<String, u64>) {
    let body: Value = serde_json::from_slice(body).unwrap();
    for events in body["events"].as_object().unwrap().values() {
        for event in events.as_array().unwrap() {
            *arrived.entry(event["msg_title"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
}
