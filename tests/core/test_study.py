from core.study import AugmentationSettings, PreprocessingSettings, Study, digest


def test_a_digest_depends_on_every_setting_and_on_nothing_else() -> None:
    assert digest(PreprocessingSettings()) == digest(PreprocessingSettings(grid=48))
    assert digest(PreprocessingSettings()) != digest(PreprocessingSettings(grid=64))
    assert digest(Study(name="a")) != digest(Study(name="a", augmentation=AugmentationSettings(flip=False)))
