//! A process that ended has said all: its last line is read before its end is told.

use backshift_testkit::{process::Running, wait};

#[tokio::test]
async fn the_output_of_an_ended_process_is_whole() {
    for _ in 0..20 {
        let mut program = Running::launch_in(
            "sh",
            &std::env::temp_dir(),
            &[
                "-c",
                "for a in 0 1 2 3 4 5 6 7 8 9; do for b in 0 1 2 3 4 5 6 7 8 9; do for c in 0 1 2 3 4 5 6 7 8 9; \
                 do echo $a$b$c; done; done; done",
            ],
            &[],
        );
        let status = program.ended(wait::PATIENCE).await.expect("it ends");
        assert!(status.success(), "{status}");
        let output = program.output();
        assert!(output.ends_with("999"), "{} lines", output.lines().count());
        assert_eq!(output.lines().count(), 1_000);
    }
}
