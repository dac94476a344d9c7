# %% [markdown]
# # A recipe in a notebook
# The same sections as in a YAML file, as Python objects: what `nlptl run` does from the shell.

# %%
import nlptl

recipe = nlptl.Recipe(
    name="notebook",
    data=nlptl.data.Mailboxes(mails=120),
    transfer={"target": ["ada"], "target_labels": 0, "hold_out": 0.5},
    encoder={"lexical": "tfidf", "max_length": 64},
    heads={"spam": nlptl.heads.Linear(column="label", labels=("ham", "spam"), positive="spam")},
)
run = nlptl.fit(recipe)

# %% The table: every domain, with intervals, beside the simple baselines on the same rows.
run.results

# %% Answers for new texts.
run.predict(["You have won a cruise, click here", "Minutes of Monday's meeting"], domain="ada")

# %% Texts of many people in one call: one name each, such as a column of a table; answers keep their order.
run.predict(["You have won a cruise, click here", "Minutes of Monday's meeting"], domain=["ada", "grace"])

# %% The model as a folder, and back.
folder = run.save("runs/notebook-model")
nlptl.load(folder).predict(["You have won a cruise, click here"])
