use std::fs;

use crate::harness::Place;

#[test]
fn volumes_outlive_containers() {
    let place = Place::new();
    // The image's files come into a new volume, and what is written stays.
    assert_eq!(place.inside(&["-v", "keep:/data"], "cat /data/of-image; echo more >/data/more"), "from the image\n");
    assert_eq!(
        place.inside(&["-v", "keep:/other:ro"], "ls /other; touch /other/x 2>/dev/null || echo refused"),
        "below\nmore\nof-image\nrefused\n"
    );
    assert_eq!(place.inside(&["--mount", "source=plain,target=/data,volume-nocopy"], "ls /data"), "");
    place.ctn(&["create", "--name", "user", "--network", "none", "-v", "keep:/data", "box"]);
    let refusal = place.refusal(1, &["volume", "rm", "keep"]);
    assert!(refusal.contains("volume is in use"), "{refusal}");
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "keep\nplain\n");
    assert_eq!(place.ctn(&["volume", "ls", "-q", "-f", "dangling=true"]), "plain\n");
    place.ctn(&["rm", "user"]);
    place.ctn(&["volume", "rm", "keep", "plain"]);
    assert!(place.refusal(1, &["volume", "inspect", "keep"]).contains("no such volume"));
    place.assert_nothing_left();
}

#[test]
fn volumes_without_a_name_go_with_their_container() {
    let place = Place::new();
    place.inside(&["-v", "/data"], "true");
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
    place.ctn(&["run", "--name", "one", "--network", "none", "-v", "/data", "box", "true"]);
    assert_eq!(place.ctn(&["volume", "ls", "-q"]).lines().count(), 1);
    place.ctn(&["rm", "one"]);
    assert_eq!(place.ctn(&["volume", "ls", "-q"]).lines().count(), 1);
    place.ctn(&["volume", "prune", "-f"]);
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "");
    place.ctn(&["volume", "create", "--label", "a=b", "named"]);
    assert_eq!(place.ctn(&["volume", "inspect", "-f", "{{json .Labels}}", "named"]), "{\"a\":\"b\"}\n");
}

#[test]
fn directories_of_the_host() {
    let place = Place::new();
    let shared = place.join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "of the host\n").unwrap();
    let bind = format!("{}:/in", shared.display());
    assert_eq!(place.inside(&["-v", &bind], "cat /in/file; echo new >/in/new"), "of the host\n");
    assert_eq!(fs::read_to_string(shared.join("new")).unwrap(), "new\n");
    let read_only = format!("type=bind,src={},dst=/in,readonly", shared.display());
    assert_eq!(place.inside(&["--mount", &read_only], "touch /in/x 2>/dev/null || echo refused"), "refused\n");
    // As docker does it: what isn't there is made.
    let missing = format!("{}:/in", place.join("made").display());
    place.inside(&["-v", &missing], "touch /in/x");
    assert!(place.join("made/x").exists());
    let size = place.inside(&["--tmpfs", "/t:size=1m,exec", "--shm-size", "2m"], "df -k /t /dev/shm");
    let size: Vec<&str> = size.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(size, ["1024", "2048"]);
}

#[test]
fn volumes_of_another_container() {
    let place = Place::new();
    let bind = format!("{}:/bind", place.join("image").display());
    let flags = ["-v", "/data", "-v", &bind, "-v", "named:/own", "--tmpfs", "/t"];
    place.detached("first", &flags, "echo first >/data/x; echo first >/own/x; sleep 1000");
    crate::harness::until("it wrote", || place.outcome(&["exec", "first", "cat", "/own/x"]).1 == "first\n");
    let look = "cat /data/x /own/x; ls /bind/bin | grep busybox; echo second >/data/x && echo written; ls -d /t";
    let (_, output, _) =
        place.outcome(&["run", "--rm", "--network", "none", "--volumes-from", "first", "box", "sh", "-c", look]);
    assert_eq!(output, "first\nfirst\nbusybox\nwritten\n");
    // It is the other's volume that was written to, and it is not removed with who borrowed it.
    assert_eq!(place.ctn(&["exec", "first", "cat", "/data/x"]), "second\n");
    let script = "cat /data/x; echo no 2>/dev/null >/data/x || echo refused; ls /own";
    let own = ["--volumes-from", "first:ro", "-v", "else:/own:nocopy"];
    assert_eq!(place.inside(&own, script), "second\nrefused\n");
    for (wrong, text) in [("nobody", "No such container"), ("first:x", "invalid mode: x"), (":ro", "invalid")] {
        let refusal = place.refusal(125, &["run", "--rm", "--volumes-from", wrong, "box", "true"]);
        assert!(refusal.contains(text), "{refusal}");
    }
    // Who borrowed a volume keeps it.
    place.ctn(&["create", "--name", "second", "--network", "none", "--volumes-from", "first", "box", "cat", "/data/x"]);
    place.ctn(&["rm", "-fv", "first"]);
    assert_eq!(place.ctn(&["start", "-a", "second"]), "second\n");
    place.ctn(&["rm", "-v", "second"]);
    assert_eq!(place.ctn(&["volume", "ls", "-q"]), "else\nnamed\n");
    place.assert_nothing_left();
}

#[test]
fn what_somebody_puts_among_volumes_stays() {
    let place = Place::new();
    let data = place.store().join("volumes/brought/_data");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("file"), "kept").unwrap();
    let half_made = place.store().join("volumes/.stray-1");
    std::fs::create_dir_all(half_made.join("_data/deep")).unwrap();
    place.ctn(&["ps"]);
    assert!(!half_made.exists());
    assert_eq!(place.inside(&["-v", "brought:/data"], "cat /data/file"), "kept");
    place.ctn(&["volume", "rm", "brought"]);
    assert!(!data.exists());
}
