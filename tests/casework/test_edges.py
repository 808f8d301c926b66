"""Files that change while they are read, folders that are there already, and a report that asks nobody for anything."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

import pytest
from PIL import Image

from engine.contract.errors import UserError
from engine.data.cache import Resize, decode
from engine.evaluation import embed as engine_embed
from handreid_tui.casework.case import read_case
from handreid_tui.casework.embed import embed_files
from handreid_tui.casework.feature_store import FeatureStore
from handreid_tui.casework.folder import new_case
from handreid_tui.casework.gallery import embed_gallery, hash_references, list_gallery
from handreid_tui.casework.report import render
from handreid_tui.evidence.calibration import hash_file
from tests.compare.test_report import Addresses
from tests.ui.test_case import write_case


@pytest.mark.long
def test_a_gallery_that_changes_while_it_is_read(desk: Path, tmp_path: Path) -> None:
    people = sorted((desk / "gallery").iterdir())[:4]
    for other in sorted((desk / "gallery").iterdir())[4:]:
        shutil.rmtree(other)
    listed = list_gallery(desk / "gallery")
    first = [sorted(person.iterdir())[0] for person in people]
    first[0].unlink()  # after it was listed
    hashed = hash_references(listed, [])
    first[1].unlink()  # after it was hashed
    shutil.copy(next((desk / "photos").iterdir()), first[2])  # another image in its place
    shutil.rmtree(people[3])
    run = desk / "runs" / "0001-ce"
    store, scratch = FeatureStore("model"), tmp_path / "scratch"
    scratch.mkdir()
    found = embed_gallery(hashed, run, store, None, scratch, lambda done, total: None)
    by_path = {each.path: each for each in found.references}
    assert by_path[first[0]].why_not == "cannot be read"
    assert by_path[first[1]].why_not == "no such file or directory"
    assert not [each for each in found.searched if each.person == people[3].name]
    changed = by_path[first[2]]
    assert not changed.why_not and changed.sha256 == hash_file(first[2]) != hashed.references[6].sha256
    alone = embed_files(run, [first[2]], scratch)
    cosine = (store.of([changed.sha256]) @ alone.features.T).item()
    assert cosine == pytest.approx(1, abs=1e-3), "its feature is of what was decoded"  # bfloat16 depends on the batch
    assert len(found.searched) == 7 and all(each.sha256 in store for each in found.searched)


def test_a_file_that_changes_under_the_decoder_is_not_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)

    def and_then_it_changes(place: Path, to: Resize) -> object:
        found = decode(place, to)
        Image.new("RGB", (9, 9), (7, 7, 7)).save(path)
        return found

    monkeypatch.setattr("engine.evaluation.embed.decode", and_then_it_changes)
    found = engine_embed._read(engine_embed.ListedImage(path), Resize(8))
    assert found.square is None and found.facts["error"] == "the file changed while it was read"


def test_a_case_is_never_written_over_and_never_half_made(tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    for _ in range(2):
        with new_case(cases, "hand 7") as made:
            (made.folder / "case.json").write_text("{}")
    names = sorted(path.name for path in cases.iterdir() if path.is_dir())
    assert names == ["0001-hand-7", "0002-hand-7"]
    assert stat.S_IMODE((cases / names[0]).stat().st_mode) == 0o700
    (cases / "0009-someone-elses").mkdir()
    with pytest.raises(RuntimeError), new_case(cases, "x") as made:
        (made.folder / "half").write_text("")
        raise RuntimeError
    with new_case(cases, "../../out") as made:
        pass
    assert made.path == cases / "0010-out" and len([p for p in cases.iterdir() if p.is_dir()]) == 4
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="No case can be made in"), new_case(tmp_path / "file", "x"):
        pass


@pytest.mark.parametrize("pictures", [True, False])
def test_the_report_of_a_case_asks_nobody_for_anything(tmp_path: Path, pictures: bool) -> None:
    folder = write_case(tmp_path)
    evil = '"><img src="https://example.org/x"><script>1</script>'
    case = read_case(folder).model_copy(update={"name": evil, "notes": [evil], "gallery": f"http://example.org/{evil}"})
    text = render(case, pictures)
    addresses = Addresses(text)
    assert addresses.found and all(address.startswith("data:") for address in addresses.found)
    assert ("img" in addresses.elements) is pictures
    assert not {"script", "iframe", "object", "embed", "form"} & set(addresses.elements)
    assert not re.search(r"url\(|@import", text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy and policy[1] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert policy.start() < text.index("<style") if "<style" in text else True
