import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["node_modules/", "dist/", "coverage/", "infra/load/", "docs/", ".infer/", "**/*.mjs", "**/*.cjs"] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true, ignoreVoidOperator: true, ignoreVoidReturningFunctions: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", ignoreRestSiblings: true }],
      "@typescript-eslint/no-meaningless-void-operator": "off", // `void` marks what is meant to return nothing
      "no-console": "error",
      eqeqeq: ["error", "always", { null: "ignore" }],
    },
  },
  {
    // `process.env` is read in one place; what composes the system hands its environment on.
    files: ["producers/**/*.ts", "router/**/*.ts", "workers/**/*.ts", "sinks/**/*.ts", "shared/**/*.ts"],
    ignores: ["shared/runtime/loadConfig.ts", "**/*.test.ts"],
    rules: {
      "no-restricted-properties": ["error", { object: "process", property: "env", message: "Configuration comes through shared/runtime/loadConfig.ts." }],
    },
  },
  {
    // A subject is spelt in topology.ts and nowhere else.
    files: ["producers/**/*.ts", "router/**/*.ts", "workers/**/*.ts", "sinks/**/*.ts", "shared/**/*.ts"],
    ignores: ["shared/messaging/topology.ts", "**/*.test.ts"],
    rules: {
      "no-restricted-syntax": [
        "error",
        { selector: "TemplateElement[value.raw=/^\\.(request|job|result|completion|feedback|shadow|shadowjob|reply|token|deadletter)\\./]", message: "Subjects are spelt in shared/messaging/topology.ts." },
      ],
    },
  },
  {
    // Decisions get time and randomness as arguments, so that they can be replayed.
    files: ["router/policy/**/*.ts", "shared/saga/**/*.ts", "workers/confidence/**/*.ts"],
    ignores: ["**/*.test.ts"],
    rules: {
      "no-restricted-globals": ["error", "performance", "process", "setTimeout", "setInterval"],
      "no-restricted-properties": ["error", { object: "Math", property: "random" }, { object: "Date", property: "now" }],
    },
  },
  { files: ["**/*.test.ts"], rules: { "@typescript-eslint/no-floating-promises": "error", "@typescript-eslint/no-empty-function": "off", "@typescript-eslint/require-await": "off" } },
);
