//! What a worker keeps of the memory that large mails took.

use std::fs;

use serde_json::json;

use crate::{
    outcomes::wait_jobs,
    scene::{SystemC, Worker},
};

/// MiB that are resident in a process.
fn resident(worker: &Worker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", worker.process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[tokio::test]
async fn large_mails_leave_no_memory_behind() {
    let Some(system) = SystemC::new().await else { return };
    let worker = system.worker().await;
    system.vhost.publish_mail("first@example.com", "small").await;
    wait_jobs(&system, "completed", 1).await;
    let before = resident(&worker);
    for n in 0..8 {
        let file = "QmFja3NoaWZ0".repeat((8 << 20) / 12);
        let mail = json!({"Recipient": format!("p{n}@example.com"), "Attachments": [{"Data": file}]});
        system.vhost.publish_bare(mail.to_string()).await;
    }
    wait_jobs(&system, "completed", 9).await;
    let after = resident(&worker);
    assert!(after < before + 40, "{before} MiB before 64 MiB of mails, {after} MiB after them");
}
