use std::io::{BufRead, BufReader};

use crate::harness::{Place, alone_with_prunes, until};

#[test]
fn ps_has_dockers_columns_filters_and_templates() {
    let place = Place::new();
    let up = place.detached("up", &["-l", "tier=web"], "sleep 1000");
    assert_eq!(place.outcome(&["run", "--name", "down", "--network", "none", "box", "sh", "-c", "exit 3"]).0, Some(3));
    let table = place.ctn(&["ps", "-a"]);
    let heading = table.lines().next().unwrap();
    assert_eq!(
        heading.split("   ").map(str::trim).filter(|column| !column.is_empty()).collect::<Vec<_>>(),
        ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    );
    assert!(table.contains("\"sh -c 'sleep 1000'\"") || table.contains("\"sh -c sleep 1000\""), "{table}");
    let names = |arguments: &[&str]| {
        let list = place.ctn(&[&["ps", "--format", "{{.Names}}"], arguments].concat());
        list.lines().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    for (arguments, wanted) in [
        (&[][..], "up"),
        (&["-a"], "down up"),
        (&["-l"], "down"),
        (&["-n", "2"], "down up"),
        (&["-n", "-1"], "up"),
        (&["-f", "health=none"], "up"),
        (&["--format", "-{{join (split .Names \"\") \".\"}}{{print 1 2 .Names 3}}"], "-u.p1 2up3"),
        (&["-a", "-f", "name=^u"], "up"),
        (&["-f", "status=exited"], "down"),
        (&["-f", "exited=3"], "down"),
        (&["-f", "exited=0"], ""),
        (&["-a", "-f", "label=tier"], "up"),
        (&["-a", "-f", "label=tier=db"], ""),
        (&["-a", "-f", "ancestor=box"], "down up"),
        (&["-a", "-f", "before=down"], "up"),
        (&["-a", "-f", "network=none"], "down up"),
    ] {
        assert_eq!(names(arguments), wanted, "{arguments:?}");
    }
    assert!(place.refusal(1, &["ps", "--filter", "health=fine"]).contains("health: fine"));
    assert_eq!(place.ctn(&["ps", "-q", "--no-trunc"]).trim(), up);
    let sizes = place.ctn(&["inspect", "--size", "--format", "{{.SizeRw}} {{.SizeRootFs}}", "up"]);
    let sizes: Vec<u64> = sizes.split_whitespace().map(|size| size.parse().unwrap()).collect();
    assert!(sizes[1] > sizes[0], "{sizes:?}");
    let status = place.ctn(&["ps", "-a", "--format", "{{.Names}} {{.State}} {{.Status}}", "-f", "name=down"]);
    assert!(status.starts_with("down exited Exited (3) "), "{status}");
    let json: serde_json::Value = serde_json::from_str(&place.ctn(&["ps", "--format", "json"])).unwrap();
    assert_eq!((json["Image"].as_str(), json["Labels"].as_str()), (Some("box"), Some("tier=web")));
    place.ctn(&["container", "prune", "-f"]);
    assert_eq!(names(&["-a"]), "up");
}

#[test]
fn inspect_is_dockers() {
    let place = Place::new();
    place.detached("seen", &["-e", "A=1", "--shm-size", "32m", "-p", "8080:80"], "sleep 1000");
    let all: serde_json::Value = serde_json::from_str(&place.ctn(&["inspect", "seen"])).unwrap();
    let one = &all[0];
    assert_eq!(one["Name"], "/seen");
    assert_eq!(one["Path"], "sh");
    assert_eq!(one["State"]["Status"], "running");
    assert_eq!(one["HostConfig"]["ShmSize"], 32 << 20);
    assert_eq!(one["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"], "8080");
    assert_eq!(one["HostConfig"]["NetworkMode"], "none");
    assert!(one["Config"]["Env"].as_array().unwrap().contains(&"A=1".into()));
    assert!(place.field("seen", ".LogPath").ends_with("-json.log"));
    assert_eq!(place.ctn(&["inspect", "--type", "image", "-f", "{{index .RepoTags 0}}", "box"]), "box:latest\n");
    let info: serde_json::Value = serde_json::from_str(&place.ctn(&["info", "-f", "json"])).unwrap();
    assert_eq!((info["ContainersRunning"].as_u64(), info["Containers"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn events_tell_what_happened() {
    let place = Place::new();
    let mut following = place.spawn(&["events", "--format", "{{.Action}}", "--filter", "container=told"]);
    // What happens before somebody follows is not told: it watches a file then.
    until("somebody follows", || {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", following.id())).unwrap().flatten();
        let mut targets = descriptors.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets.any(|target| target.to_string_lossy().contains("inotify"))
    });
    place.ctn(&["run", "--name", "told", "--network", "none", "box", "true"]);
    place.ctn(&["rm", "told"]);
    let since = place.ctn(&[
        "events",
        "--since",
        "1h",
        "--until",
        "0s",
        "--format",
        "{{.Action}}",
        "--filter",
        "container=told",
    ]);
    assert_eq!(since, "create\nstart\nattach\ndie\ndestroy\n");
    // Fields have docker's names, whatever they are in JSON.
    let format = "{{.Type}} {{.Status}} {{.From}} {{.Scope}} {{len .ID}} {{eq .ID .Actor.ID}} {{.Time}}";
    let fields = ["events", "--since", "1h", "--until", "0s", "--filter", "event=die", "--format", format];
    let fields = place.ctn(&fields);
    assert!(fields.starts_with("container die box local 64 true 1"), "{fields}");
    // What has no such attribute shows Go's words for nothing.
    let format = "{{.Action}} {{.Actor.Attributes.exitCode}}";
    let filters = ["--filter", "container=told", "--filter", "event=die", "--filter", "event=start"];
    let events = place.ctn(&[&["events", "--since", "1h", "--until", "0s", "--format", format], &filters[..]].concat());
    assert_eq!(events, "start <no value>\ndie 0\n");
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told: Vec<String> = lines.by_ref().take(since.lines().count()).collect();
    assert_eq!(told, since.lines().collect::<Vec<_>>());
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn what_is_used_is_shown_and_stays() {
    let _alone = alone_with_prunes();
    let place = Place::new();
    place.ctn(&["tag", "box", "again"]);
    place.ctn(&["volume", "create", "idle"]);
    place.detached("up", &["-v", "kept:/kept"], "echo 12345 >/kept/file; sleep 1000");
    place.ctn(&["run", "--name", "down", "--network", "none", "-l", "keep=no", "box", "sh", "-c", "echo x >/root/x"]);
    let df = place.ctn(&["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}"]);
    assert_eq!(df, "Images 1 1\nContainers 2 1\nLocal Volumes 2 1\n");
    let all: serde_json::Value = serde_json::from_str(&place.ctn(&["system", "df", "-v", "--format", "json"])).unwrap();
    assert_eq!((&all["Images"][0]["Containers"], &all["Volumes"][1]["Links"]), (&"2".into(), &"1".into()), "{all}");
    assert_eq!((&all["Containers"][1]["Names"], &all["Volumes"][0]["Links"]), (&"up".into(), &"0".into()), "{all}");
    let df = place.ctn(&["system", "df", "-v"]);
    for heading in [
        "Images space usage:\n",
        "\nContainers space usage:\n",
        "\nLocal Volumes space usage:\n",
        "VOLUME NAME   LINKS",
    ] {
        assert!(df.contains(heading), "{df}");
    }
    // Neither image nor volume of a container that is there, running or not.
    place.ctn(&["image", "prune", "-af"]);
    place.ctn(&["system", "prune", "-af", "--filter", "label!=keep=no"]);
    assert_eq!(place.ctn(&["ps", "-a", "--format", "{{.Names}}"]), "down\nup\n");
    assert_eq!(place.ctn(&["images", "--format", "{{.Repository}}", "box"]), "box\n");
    let refusal = place.refusal(1, &["system", "prune", "-f", "--volumes", "--filter", "until=1h"]);
    assert!(refusal.contains("not supported with \"--volumes\""), "{refusal}");
    let question = place.ctn(&["system", "prune", "--volumes"]);
    assert!(
        question.contains("  - all stopped containers\n") && question.contains("  - all dangling images\n"),
        "{question}"
    );
    let pruned = place.ctn(&["system", "prune", "-f", "--volumes"]);
    assert!(pruned.starts_with("Deleted Containers:\n") && pruned.contains("Total reclaimed space: "), "{pruned}");
    assert_eq!(place.ctn(&["ps", "-a", "--format", "{{.Names}}"]), "up\n");
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "idle\nkept\n");
    place.ctn(&["rm", "-f", "up"]);
    place.ctn(&["volume", "prune", "-af", "--filter", "label!=x"]);
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
    let pruned = place.ctn(&["system", "prune", "-af"]);
    assert!(pruned.contains("Deleted Images:\nuntagged: ") && pruned.contains("untagged: again:latest\n"), "{pruned}");
    assert_eq!(place.ctn(&["images", "-q"]), "");
}
