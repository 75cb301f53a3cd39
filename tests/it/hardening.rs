//! The process that holds keys cannot be looked into, leaves no core, and does not start where others
//! could read what it keeps. With gdb's gcore, which is not ours.

use std::{
    os::unix::{
        fs::{PermissionsExt, chown},
        process::ExitStatusExt,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sim::World;

use crate::{
    app::{Database, TestApp, licensed, run},
    rig::{Installation, binary, free_port, number, output},
};

/// Whom the server runs as: nobody, where the test is root's, and else whoever runs it.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).trim() == "0"
}

fn as_server(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(program);
    command
}

/// A folder of the server's with the program in it.
fn installed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::copy(binary(), folder.path().join("tenantry")).unwrap();
    for name in ["data", "cores"] {
        let inner = folder.path().join(name);
        std::fs::create_dir(&inner).unwrap();
        std::fs::set_permissions(&inner, PermissionsExt::from_mode(0o700)).unwrap();
        if is_root() {
            chown(&inner, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    folder
}

fn serve(folder: &Path) -> Command {
    let mut command = as_server(folder.join("tenantry"));
    command
        .args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{}", free_port()),
            "--data-dir",
        ])
        .arg(folder.join("data"))
        .current_dir(folder.join("cores"));
    command
}

/// Answers the server's own process: `setpriv` becomes it.
fn started(folder: &Path) -> std::process::Child {
    let mut child = serve(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..200 {
        if folder.join("data/tenantry.db").exists() {
            std::thread::sleep(Duration::from_millis(500));
            return child;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    panic!("the server did not start");
}

fn refused(folder: &Path) -> String {
    let done = serve(folder).output().unwrap();
    assert!(!done.status.success());
    String::from_utf8(done.stderr).unwrap()
}

#[test]
#[ignore = "needs gdb: ./scripts/assure B7"]
fn nobody_looks_into_the_process() {
    let folder = installed();
    let mut child = started(folder.path());
    let pid = child.id().to_string();
    // The same user, who may look into every other process of theirs.
    let core = folder.path().join("cores/core");
    let tried = as_server("gcore")
        .arg("-o")
        .arg(&core)
        .arg(&pid)
        .output()
        .unwrap();
    assert!(!tried.status.success());
    let left = std::fs::read_dir(folder.path().join("cores"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "a core was saved");
    for file in ["environ", "mem", "maps"] {
        let read = as_server("cat")
            .arg(format!("/proc/{pid}/{file}"))
            .output()
            .unwrap();
        assert!(!read.status.success(), "{file} can be read");
    }
    // It dies as a crash does, and leaves nothing.
    output(Command::new("kill").args(["-ABRT", &pid]));
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(6));
    assert!(!status.core_dumped());
    assert_eq!(
        std::fs::read_dir(folder.path().join("cores"))
            .unwrap()
            .count(),
        0
    );
    println!(
        "B7: gcore of the same user refused, environ, mem and maps closed; SIGABRT left no core"
    );
}

#[test]
#[ignore = "starts the program: ./scripts/assure B7"]
fn it_does_not_start_where_others_may_look() {
    let folder = installed();
    let data = folder.path().join("data");
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o750)).unwrap();
    assert!(refused(folder.path()).contains("chmod 700"));
    std::fs::set_permissions(&data, PermissionsExt::from_mode(0o700)).unwrap();
    let mut child = started(folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    for entry in std::fs::read_dir(&data).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{:?} is {mode:o}", entry.file_name());
    }
    std::fs::set_permissions(data.join("key"), PermissionsExt::from_mode(0o640)).unwrap();
    assert!(refused(folder.path()).contains("chmod 600"));
    println!("B7: an open folder and an open key are refused, and what is made is closed");
}

/// Opens the first partner's data key as the product does, from what is stored.
pub fn data_key(folder: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(folder.join("key")).unwrap();
    let wrapping = data_encoding::BASE64
        .decode(text.trim().as_bytes())
        .unwrap();
    let db = rusqlite::Connection::open(folder.join("tenantry.db")).unwrap();
    let (partner, wrapped): (Vec<u8>, Vec<u8>) = db
        .query_row("SELECT partner_id, wrapped FROM partner_keys", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let mut aad = vec![1];
    for part in [&partner[..], b"partner_keys", b"wrapped", &partner[..]] {
        aad.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        aad.extend_from_slice(part);
    }
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &wrapping).unwrap());
    let nonce = Nonce::try_assume_unique_for_key(&wrapped[1..13]).unwrap();
    let mut body = wrapped[13..].to_vec();
    key.open_in_place(nonce, Aad::from(aad), &mut body)
        .unwrap()
        .to_vec()
}

#[test]
#[ignore = "a minute, and root: ./scripts/assure B7"]
fn a_minute_after_its_use_no_data_key_is_in_memory() {
    if !is_root() {
        println!("B7: not run: only root may dump the process");
        return;
    }
    run(|| async {
        let world = licensed(World::demo(crate::app::secret()));
        let app = TestApp::start_with(Database::Sqlite, world, false).await;
        let rig = Installation::new(&app, None);
        let server = rig.serve(&[]);
        let credential = rig.credential(&app).await;
        let directory = app.directory("Contoso").id;
        rig.connect(&credential, directory).await;
        // Runs open the credential's secret once for each service's token.
        rig.until("/runs?total=true", |runs| {
            let all = runs["value"].as_array().unwrap();
            all.len() >= 2 && all.iter().all(crate::rig::is_over)
        })
        .await;
        let key = data_key(&rig.data());
        let wrapping = std::fs::read_to_string(rig.data().join("key")).unwrap();
        let wrapping = data_encoding::BASE64
            .decode(wrapping.trim().as_bytes())
            .unwrap();
        let seconds = number("TENANTRY_SECONDS", 60);
        tokio::time::sleep(Duration::from_secs(u64::try_from(seconds).unwrap())).await;
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join("core");
        let pid = server.id();
        let dumped = Command::new("gcore")
            .arg("-a")
            .arg("-o")
            .arg(&core)
            .arg(pid.to_string())
            .output()
            .unwrap();
        assert!(
            dumped.status.success(),
            "{}",
            String::from_utf8_lossy(&dumped.stderr)
        );
        let core = std::fs::read(folder.path().join(format!("core.{pid}"))).unwrap();
        let hits = |needle: &[u8]| core.windows(needle.len()).filter(|w| *w == needle).count();
        // The wrapping key is there, which shows that the dump can be searched.
        assert!(hits(&wrapping) > 0, "the dump is not the server's");
        let found = hits(&key);
        println!(
            "B7: {seconds} s after the last use {found} copies of the data key in {} MB of memory",
            core.len() / 1_000_000
        );
        assert_eq!(found, 0);
        server.kill();
    });
}
