"""The machinery below the sections: rules, secrets, references to the environment."""
