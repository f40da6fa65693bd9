"""The items of two reporting guidelines, in our own words, and which answer of a model's card goes with each.

Sources: Tejani et al. 2024, CLAIM 2024 Update, Radiology: Artificial Intelligence 6(4):e240300, items 1 to 44; Collins
et al. 2024, TRIPOD+AI, BMJ 385:e078378, items 1 to 27c. The numbers are theirs, where to read what each asks in full.
"""

from typing import NamedTuple


class Item(NamedTuple):
    """One item.

    Attributes:
        number: as the guideline counts.
        asks: what it asks for.
        subject: which answer, a key of `fl_server.card_answers.answers_of`.
    """

    number: str
    asks: str
    subject: str


CLAIM = (
    Item("1", "Title says that it is AI, and of which kind", "kind"),
    Item("2", "Summary of design, methods and results", "summary"),
    Item("3", "Background, intended use and role", "use"),
    Item("4", "Aims and hypotheses", "aims"),
    Item("5", "Prospective or retrospective", "design"),
    Item("6", "What the study is to show", "aims"),
    Item("7", "Where the data are from", "sources"),
    Item("8", "Who is included and excluded", "eligibility"),
    Item("9", "How images are prepared", "preprocessing"),
    Item("10", "Which parts of the data are used", "eligibility"),
    Item("11", "De-identification", "deidentification"),
    Item("12", "Missing data", "missing"),
    Item("13", "How images were acquired", "acquisition"),
    Item("14", "How the reference standard is obtained", "reference"),
    Item("15", "Why this reference standard", "reference_reason"),
    Item("16", "Who annotated, and with what training", "annotators"),
    Item("17", "How the test set was annotated", "annotators"),
    Item("18", "How far annotators agree", "agreement"),
    Item("19", "How cases are dealt out to partitions", "partitions"),
    Item("20", "At which level partitions are disjoint", "disjoint"),
    Item("21", "Intended sample size", "sample_size"),
    Item("22", "The model in detail", "model"),
    Item("23", "Libraries and their versions", "libraries"),
    Item("24", "How weights are initialized", "initialization"),
    Item("25", "How it is trained", "training"),
    Item("26", "How the final model is chosen", "selection"),
    Item("27", "Ensembles", "ensemble"),
    Item("28", "Metrics", "metrics"),
    Item("29", "Uncertainty and significance", "uncertainty"),
    Item("30", "Robustness", "robustness"),
    Item("31", "Explanations", "explanations"),
    Item("32", "Evaluation on internal data", "internal"),
    Item("33", "Testing on external data", "external"),
    Item("34", "Registration of the trial", "registration"),
    Item("35", "How many were included and excluded", "numbers"),
    Item("36", "Demographics of each partition", "demographics"),
    Item("37", "Performance with its uncertainty", "performance"),
    Item("38", "Diagnostic performance and its precision", "performance"),
    Item("39", "What went wrong where it was wrong", "failures"),
    Item("40", "Limitations", "limitations"),
    Item("41", "What it means for practice", "use"),
    Item("42", "The full protocol", "protocol"),
    Item("43", "Where software, model and data are", "availability"),
    Item("44", "Funding", "funding"),
)

TRIPOD_AI = (
    Item("1", "Title names the model, whom it is for and what it predicts", "kind"),
    Item("2", "Abstract", "summary"),
    Item("3a", "Clinical context and why a model", "use"),
    Item("3b", "For whom, where in care, by whom", "use"),
    Item("3c", "Known inequalities between groups", "inequalities"),
    Item("4", "Objectives: development, evaluation or both", "aims"),
    Item("5a", "Sources of the data", "sources"),
    Item("5b", "Dates of the data", "dates"),
    Item("6a", "Where: kind and number of centers", "centers"),
    Item("6b", "Eligibility", "eligibility"),
    Item("6c", "Treatments received", "treatments"),
    Item("7", "Preparation and quality checks", "preprocessing"),
    Item("8a", "The outcome and how it is assessed", "reference"),
    Item("8b", "Who assessed it", "annotators"),
    Item("8c", "Whether its assessors were blinded", "blinding"),
    Item("9a", "Which predictors were chosen", "predictors"),
    Item("9b", "How predictors are defined and measured", "acquisition"),
    Item("9c", "Who assessed predictors", "predictor_assessors"),
    Item("10", "Sample size", "sample_size"),
    Item("11", "Missing data", "missing"),
    Item("12a", "How data are used for development and evaluation", "partitions"),
    Item("12b", "How predictors are handled", "preprocessing"),
    Item("12c", "Kind of model, how it is built and validated", "model_building"),
    Item("12d", "Differences between clusters", "sites"),
    Item("12e", "Measures of performance", "metrics"),
    Item("12f", "Updating of the model", "updating"),
    Item("12g", "How predictions are calculated", "output"),
    Item("13", "Class imbalance", "imbalance"),
    Item("14", "Fairness", "fairness"),
    Item("15", "What the model puts out, and thresholds", "output"),
    Item("16", "How development and evaluation data differ", "differences"),
    Item("17", "Ethical approval", "ethics"),
    Item("18a", "Funding", "funding"),
    Item("18b", "Conflicts of interest", "funding"),
    Item("18c", "Protocol", "protocol"),
    Item("18d", "Registration", "registration"),
    Item("18e", "Availability of data", "availability"),
    Item("18f", "Availability of code", "availability"),
    Item("19", "Involvement of patients and the public", "involvement"),
    Item("20a", "Flow of participants", "numbers"),
    Item("20b", "Their characteristics, in all and by setting", "demographics"),
    Item("20c", "Evaluation beside development data", "differences"),
    Item("21", "Participants and events in each analysis", "numbers"),
    Item("22", "The full model, so that others can predict with it", "specification"),
    Item("23a", "Performance with intervals, by key groups", "performance"),
    Item("23b", "Performance by cluster", "sites"),
    Item("24", "Results of updating", "updating"),
    Item("25", "Interpretation", "interpretation"),
    Item("26", "Limitations", "limitations"),
    Item("27a", "What is done with input that is poor or missing", "poor_input"),
    Item("27b", "What users must do and know", "users"),
    Item("27c", "Next steps", "next_steps"),
)
