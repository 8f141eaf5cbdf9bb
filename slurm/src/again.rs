//! The part of a batch script that gives its job back to Slurm: where the program was saved and stopped before its end
//! (exit code 75), and where a node has failed. What the program does then is its own business.

use crate::quote::quote;
use crate::{Job, Launcher};

/// Seconds before the time limit at which Slurm sends SIGUSR1: two minutes, and less of short jobs. Slurm may be a
/// minute early.
pub(crate) fn margin(limit: Option<u64>) -> u64 {
    limit.map_or(120, |limit| (limit / 10).clamp(1, 120))
}

/// Starts mpirun so that the signal before the end reaches it: Slurm tells the batch script's shell alone.
pub(crate) fn pass_on(launch: &str) -> String {
    format!(
        "{launch} &\n\
         ranks=$!\n\
         # Slurm's signal before the end comes to this shell; mpirun passes it on to its ranks.\n\
         asked=\n\
         trap 'asked=1; kill -USR1 \"$ranks\"' USR1\n\
         wait \"$ranks\" || code=$?\n\
         while [ -n \"$asked\" ]; do asked=; code=0; wait \"$ranks\" || code=$?; done\n"
    )
}

/// The run's directory, as bash reads it.
fn place(job: &Job) -> String {
    match (&job.points, &job.run) {
        (Some(_), _) => "\"$run\"".to_owned(),
        (None, Some(run)) => quote(run),
        (None, None) => ".".to_owned(),
    }
}

/// The lines that start the ranks by `launch`, which leaves their exit code in `$code`; once more where nothing could be
/// started.
pub(crate) fn start(job: &Job, launch: &str) -> String {
    let run = place(job);
    // Under mpirun nobody has said how many CPUs a step may have.
    let cpus = if matches!(job.launcher, Launcher::Mpirun) { "" } else { " --cpus-per-task=1" };
    let launch: String = launch.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        r#"answers() {{
  timeout 60 srun --overlap --mpi=none --nodes="$SLURM_JOB_NUM_NODES" \
    --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1{cpus} true
}}
# Changes when the run begins; opened, so that no file system answers from memory.
begun() {{ cat {run}/provenance.json 2>/dev/null | cksum; }}
start() {{
  code=0
{launch}}}
before=$(begun)
for attempt in 1 2 3; do
  start
  # A node that clears up after a failure may refuse to start anything: the run has not begun, and the code is not its own.
  {{ [ "$code" = 1 ] || [ "$code" -gt 6 ]; }} && [ "$code" != 75 ] && [ "$(begun)" = "$before" ] && answers || break
  echo "exit code $code before the run began (attempt $attempt)" >&2
  sleep 5
done
"#
    )
}

/// The lines after [`start`].
pub(crate) fn lines(job: &Job) -> String {
    let most = job.most_requeues;
    let run = place(job);
    format!(
        r#"
job=${{SLURM_ARRAY_JOB_ID:+${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID}}
job=${{job:-$SLURM_JOB_ID}}
again() {{
  # Neither a job that somebody has cancelled nor one that comes back for ever.
  [ "$(squeue --noheader --jobs="$job" --format=%T)" = RUNNING ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {most} ] &&
    scontrol requeue "$job"
}}
if [ "$code" = 75 ]; then
  # Saved and stopped before its end: it goes on when Slurm starts this job again, unless the file STOP asked for it.
  grep -qs '"why": "stop-file"' {run}/timings.json || again
elif [ "$code" != 0 ] && ! answers; then
  # Ranks feel that a node has failed before Slurm knows it. Slurm then starts the job again by itself.
  echo "exit code $code, and not every node answers: waiting for Slurm to notice" >&2
  patience=$(scontrol show config | sed -n 's/^SlurmdTimeout *= *\([0-9]*\).*/\1/p')
  sleep "$((${{patience:-300}} + 60))"
  again
fi
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signal_leaves_most_of_the_time() {
        for (limit, expected) in
            [(None, 120), (Some(60), 6), (Some(1), 1), (Some(600), 60), (Some(86_400), 120)]
        {
            assert_eq!(margin(limit), expected);
        }
    }

    #[test]
    fn a_signal_is_passed_on_and_the_exit_code_is_the_programs() {
        // Stand-ins for mpirun: one ends at the signal, one has long ended, one dies of another signal.
        for (program, before, expected) in [
            (
                "bash -c 'trap \"exit 75\" USR1; touch ready; while :; do sleep 0.05; done'",
                "until [ -e ready ]; do sleep 0.05; done; kill -USR1 $$",
                "75",
            ),
            (
                "bash -c 'trap \"sleep 0.3; exit 3\" USR1; touch ready; while :; do sleep 0.05; done'",
                "until [ -e ready ]; do sleep 0.05; done; kill -USR1 $$; sleep 0.1; kill -USR1 $$",
                "3",
            ),
            ("bash -c 'exit 6'", "true", "6"),
            ("bash -c 'sleep 0.1'", "true", "0"),
            ("bash -c 'kill -9 $$'", "true", "137"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            // The signal is for a shell that waits already.
            let script = format!(
                "({}) & code=0\n{}exit \"$code\"\n",
                before.replacen("kill", "sleep 0.2; kill", 1),
                pass_on(program)
            );
            let mut bash = std::process::Command::new("bash");
            let ended = bash.current_dir(&folder).arg("-c").arg(&script).output().unwrap();
            assert_eq!(ended.status.code().unwrap().to_string(), expected, "{program} {before}: {ended:?}");
        }
    }

    #[test]
    fn what_was_not_started_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let job = Job { run: Some(folder.path().display().to_string()), ..Job::new(["rankine"]) };
        // What the ranks do, whether nodes answer, the exit code, and how often they were started.
        for (ranks, answer, expected) in [
            // Nothing could be started, twice.
            ("[ $(wc -l < n) = 3 ] || code=137", 0, "0 3"),
            ("code=143", 0, "143 3"),
            ("code=1", 0, "1 3"),
            // A node is gone.
            ("code=137", 1, "137 1"),
            // The run has begun, or has said what is wrong with it.
            ("echo begins >> provenance.json; code=137", 0, "137 1"),
            ("code=2", 0, "2 1"),
            ("code=6", 0, "6 1"),
            ("code=75", 0, "75 1"),
            ("true", 0, "0 1"),
        ] {
            let lines = start(&job, &format!("echo >> n\n{ranks}"));
            let script = format!(
                "set -uo pipefail\nSLURM_JOB_NUM_NODES=1\ncd '{}'\nrm -f n provenance.json\nsleep() {{ :; }}\ntimeout() {{ return {answer}; }}\n\
                 {lines}echo \"$code $(wc -l < n)\"\n",
                folder.path().display()
            );
            let ended = std::process::Command::new("bash").arg("-c").arg(&script).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&ended.stdout).trim(), expected, "{ranks}: {ended:?}");
        }
    }
}
