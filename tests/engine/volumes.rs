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
